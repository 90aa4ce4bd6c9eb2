"""Several processes as one server: a front with all services, and replicas that share its port."""
