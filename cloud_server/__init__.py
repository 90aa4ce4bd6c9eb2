"""The body in the data centre: tails behind the Open Inference Protocol."""
