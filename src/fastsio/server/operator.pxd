# The compiled face of operator.py.

from fastsio._codec cimport is_reserved

cpdef check_event(tuple args)
