"""The descriptor pool of our own stubs.

Other packages (tritonclient, for one) define the same `inference` messages in the default pool,
and one pool takes each name once. With a pool of our own both can be imported, in either order.
`scripts/generate_stubs.py` makes the generated modules register here.
"""

from google.protobuf import descriptor_pool

POOL = descriptor_pool.DescriptorPool()
