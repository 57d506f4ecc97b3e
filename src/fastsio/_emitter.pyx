# cython: language_level=3, freethreading_compatible=True
"""The event emitter under every public object: Node's names, and one dispatch loop in C."""

import inspect
import logging
from functools import partial
from types import FunctionType, MethodType

from cpython.dict cimport PyDict_GetItem
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject_CallObject
from cpython.ref cimport Py_INCREF, PyObject
from cpython.tuple cimport PyTuple_GET_SIZE, PyTuple_New, PyTuple_SET_ITEM

from fastsio.exceptions import EventRefused

cdef extern from "Python.h":
    PyObject* PyFunction_GetAnnotations(object fn) except? NULL

logger = logging.getLogger("fastsio")

# A handler that takes *args can always take one more.
cdef int UNLIMITED = 1 << 30
cdef int CO_VARARGS = 0x04

cdef object _start_awaitable = None


def set_starter(object starter):
    """Install what runs the awaitables that ``async def`` listeners return.

    The emitter knows no event loop; the ring that does installs ``starter(awaitable, on_result, on_error)``.
    """
    global _start_awaitable
    _start_awaitable = starter


def positional_limit(object fn) -> int:
    """How many positional arguments ``fn`` can take; a large number for ``*args``."""
    return _positional_limit(fn)


cdef int _positional_limit(object fn) except -1:
    # Handlers are usually closures made once per connection: reading the code object costs
    # a tenth of a microsecond where inspect.signature costs fifteen.
    cdef int bound = 0
    cdef object target = fn
    if type(target) is MethodType:
        target = target.__func__
        bound = 1
    if type(target) is FunctionType and not hasattr(target, "__wrapped__"):
        code = target.__code__
        if code.co_flags & CO_VARARGS:
            return UNLIMITED
        return max(0, code.co_argcount - bound)
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return UNLIMITED
    cdef int count = 0
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return UNLIMITED
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            count += 1
    return count


def annotations_of(object fn):
    """The annotations that ``fn`` was defined with, or None if there are none; as they stand, not resolved.

    A function without any is asked in C: to look at ``__annotations__`` would make a dict for each closure.
    """
    if type(fn) is MethodType:
        fn = fn.__func__
    while type(fn) is partial:
        fn = fn.func
    if type(fn) is not FunctionType:
        fn = getattr(type(fn), "__call__", None)
        if type(fn) is not FunctionType:
            return None
    cdef PyObject* found = PyFunction_GetAnnotations(fn)
    if found is NULL or not <object>found:
        return None
    return <object>found


cdef str _event_name(object event):
    """``event`` as an exact ``str``: members of a ``str`` enumeration are names too.

    :raises TypeError: if it is no string.
    """
    if type(event) is str:
        return <str>event
    if isinstance(event, str):
        return str.__str__(event)
    raise TypeError(f"an event name is a string, not {type(event).__name__}")


cdef class Plan:
    """How to call a listener that is not simply called. Listeners may share one.

    :param convert: ``convert(event, args, ack)`` gives the arguments for the function, with ``ack`` as the
        last of them if the function takes it. Raises what the function is not called for.
    :param bound: whether the emitter goes first among the arguments.
    :param serialize: whether the call may have to wait for others (``EventEmitter._call_in_turn``).
    :param call: called in place of the function.
    """

    def __cinit__(self, object convert=None, bint bound=False, bint serialize=False, object call=None):
        self.convert = convert
        self.bound = bound
        self.serialize = serialize
        self.call = call


cdef class Listener:
    """One registered listener: the function, whether it goes after one call, how many arguments it takes."""

    def __cinit__(self, object fn, bint once, Plan plan):
        if not callable(fn):
            raise TypeError(f"a listener must be callable, not {type(fn).__name__}")
        self.fn = fn
        self.once = once
        self.plan = plan
        self.limit = _positional_limit(fn)
        if plan is not None and plan.bound:
            self.limit = max(0, self.limit - 1)


cdef class EventEmitter:
    """Node's EventEmitter: listeners by event name, called in the order they were added.

    ``on`` and its relatives work as plain calls, ``x.on("event", fn)``, and as decorators,
    ``@x.on("event")``. A listener may be ``async def``; it is started at once.
    """

    # -- registration ---------------------------------------------------------------------------------

    def on(self, event, fn=None, *, serialize=False):
        """Call ``fn`` each time ``event`` fires; without ``fn``, a decorator.

        ``x.on("event", fn)`` returns the emitter, so that calls chain; the decorator returns the function.

        :param serialize: for events of a server's socket: ``fn`` is called when all earlier calls of handlers
            of this socket that are registered like this are over.
        """
        if fn is None:
            return _Registrar(self, _event_name(event), False, serialize)
        self._add(_event_name(event), fn, False, False, serialize)
        return self

    def add_listener(self, event, fn):
        """The same as :meth:`on` with both arguments."""
        self._add(_event_name(event), fn, False, False, False)
        return self

    def once(self, event, fn=None):
        """As :meth:`on`, for the next occurrence only."""
        if fn is None:
            return _Registrar(self, _event_name(event), True, False)
        self._add(_event_name(event), fn, True, False, False)
        return self

    def prepend_listener(self, event, fn):
        """As :meth:`on`, before the listeners already there."""
        self._add(_event_name(event), fn, False, True, False)
        return self

    def prepend_once_listener(self, event, fn):
        """As :meth:`once`, before the listeners already there."""
        self._add(_event_name(event), fn, True, True, False)
        return self

    def off(self, event, fn):
        """Remove the most recently added listener ``fn`` of ``event``; nothing happens if there is none."""
        cdef str name = _event_name(event)
        cdef tuple listeners = self._listeners_of(name)
        cdef Py_ssize_t i
        if listeners is not None:
            for i in range(len(listeners) - 1, -1, -1):
                if (<Listener>listeners[i]).fn == fn:
                    self._store(name, listeners[:i] + listeners[i + 1:])
                    break
        return self

    def remove_listener(self, event, fn):
        """The same as :meth:`off`."""
        return self.off(event, fn)

    def remove_all_listeners(self, event=None):
        """Remove every listener of ``event``, or of all events."""
        if event is None:
            self._events = None
        elif self._events is not None:
            self._store(_event_name(event), ())
        return self

    # -- inspection -----------------------------------------------------------------------------------

    def listeners(self, event):
        """The functions registered for ``event``, in calling order (a new list)."""
        cdef tuple listeners = self._listeners_of(_event_name(event))
        return [] if listeners is None else [(<Listener>entry).fn for entry in listeners]

    def listener_count(self, event):
        """How many listeners ``event`` has."""
        cdef tuple listeners = self._listeners_of(_event_name(event))
        return 0 if listeners is None else len(listeners)

    cpdef bint has_listeners(self, event) except -1:
        """Whether ``event`` has a listener."""
        return bool(self._listeners_of(_event_name(event)))

    def event_names(self):
        """The events that have listeners (a new list)."""
        if self._events is None:
            return []
        names = dict.fromkeys(self._events.get(None) or ())
        names.update(dict.fromkeys(self._events))
        return [name for name in names if name is not None and self._listeners_of(name)]

    # -- firing ---------------------------------------------------------------------------------------

    def emit(self, *args):
        """``emit(event, *args)``: call the listeners of ``event``; True if there were any.

        A plain listener's exception reaches the caller and stops the round, as in Node. An ``async def``
        listener is started; its exception goes to :meth:`_listener_failed`.
        """
        if not args:
            raise TypeError("emit() takes an event name and its arguments")
        return self._call_listeners(_event_name(args[0]), args[1:], None, False, True)

    cpdef bint _fire(self, str event, tuple args, object ack, bint trim, bint propagate) except -1:
        """As :meth:`_call_listeners`, for Python too."""
        return self._call_listeners(event, args, ack, trim, propagate)

    # On an object with a dict, each call of a cpdef method looks there first for another of that name, which
    # is as dear as the rest: what every message goes through is cdef.

    cdef bint _call_listeners(
        self, str event, tuple args, object ack, bint trim, bint propagate
    ) except -1:
        """Call the listeners of ``event``; False if there are none.

        ``ack``: the acknowledgement the peer asked for, or None. It is handed to a listener that can take one
        more argument than ``args`` holds; otherwise the listener's return value becomes the answer.
        ``trim``: cut ``args`` to what each listener can take (lifecycle events, whose details are optional).
        ``propagate``: let a plain listener's exception reach the caller.
        """
        cdef tuple listeners = self._listeners_of(event)
        cdef tuple given
        cdef Listener listener
        cdef bint answers
        cdef Py_ssize_t count = PyTuple_GET_SIZE(args)
        if listeners is None:
            return False
        for entry in listeners:
            listener = <Listener>entry
            if listener.once:
                if listener.fired:
                    continue  # by an event that another listener of this round emitted
                listener.fired = True
                self._remove_entry(event, listener)
            if listener.plan is not None:
                self._fire_planned(listener, event, args, ack, trim, propagate)
                continue
            given = args
            answers = False
            if ack is not None:
                if listener.limit > count:
                    given = args + (ack,)
                else:
                    answers = True
            elif trim and listener.limit < count:
                given = args[:listener.limit]
            try:
                _call(self, event, listener.fn, listener.fn, given, ack if answers else None)
            except Exception as error:
                if propagate:
                    raise
                self._listener_failed(event, listener.fn, error)
        return PyTuple_GET_SIZE(listeners) > 0

    cdef bint _fire_event(self, list event, object ack) except -1:
        """Call the listeners of an event as it came: ``[name, *args]``, whose name may be a number."""
        cdef Py_ssize_t i
        cdef Py_ssize_t count = PyList_GET_SIZE(event) - 1
        cdef tuple args
        if count < 0:
            return False
        args = PyTuple_New(count)
        for i in range(count):
            value = <object>PyList_GET_ITEM(event, i + 1)
            Py_INCREF(value)  # which the tuple takes over
            PyTuple_SET_ITEM(args, i, value)
        name = <object>PyList_GET_ITEM(event, 0)
        return self._call_listeners(
            <str>name if type(name) is str else str(name), args, ack, False, False
        )

    cdef int _fire_planned(
        self, Listener listener, str event, tuple args, object ack, bint trim, bint propagate
    ) except -1:
        """Call one listener as its plan says; the parameters are those of :meth:`_call_listeners`."""
        cdef Plan plan = listener.plan
        cdef tuple given = args
        cdef object unanswered = None
        cdef Py_ssize_t count = PyTuple_GET_SIZE(args)
        try:
            if plan.convert is not None and not trim:
                given = plan.convert(event, args, ack)
                if not given or given[-1] is not ack:
                    unanswered = ack
            elif ack is not None:
                if listener.limit > count:
                    given = args + (ack,)
                else:
                    unanswered = ack
            elif trim and listener.limit < count:
                given = args[:listener.limit]
            if plan.bound:
                given = (self, *given)
            call = listener.fn if plan.call is None else plan.call
            if plan.serialize:
                self._call_in_turn(event, listener.fn, call, given, unanswered)
            else:
                _call(self, event, listener.fn, call, given, unanswered)
        except Exception as error:
            if propagate:
                raise
            if ack is not None and isinstance(error, EventRefused):
                ack(error.answer())
            self._listener_failed(event, listener.fn, error)
        return 0

    cpdef object _plan(self, str event, object fn, bint serialize):
        """How to call a new listener ``fn``: a :class:`Plan`, or None to simply call it."""
        if serialize:
            raise TypeError(f"serialize is for events of a server's socket, not for {event!r} here")
        return None

    cpdef object _call_in_turn(self, str event, object fn, object call, tuple given, object ack):
        """Call ``call`` for the listener ``fn`` when its turn comes; ``ack`` as in ``_call``."""
        raise NotImplementedError

    def _listener_failed(self, event, fn, error):
        """Called with what a listener raised; logs it. Subclasses say where it came from."""
        logger.error("handler %s of %r failed", getattr(fn, "__qualname__", fn), event, exc_info=error)

    cpdef int _listened(self, str event) except -1:
        """Called when ``event`` gets its first listener. Subclasses begin there what they spare otherwise."""
        return 0

    # -- storage --------------------------------------------------------------------------------------

    # ``_events`` maps events to listeners. Sockets of a namespace share those of its routers: until a socket
    # has listeners of its own, its ``_events`` is the table that all share, which None: None marks. Its own
    # table then has a link to that under None.

    cpdef object _share(self, EventEmitter source):
        """Have the listeners of ``source`` too; neither may change them afterwards. Before any of its own."""
        if source._events:
            source._events[None] = None
            self._events = source._events

    cdef tuple _listeners_of(self, str event):
        cdef PyObject* found
        if self._events is None:
            return None
        found = PyDict_GetItem(self._events, event)
        if found is NULL:
            found = self._shared(event)
        return None if found is NULL else <tuple>found

    cdef PyObject* _shared(self, str event) noexcept:
        """What the table behind the emitter's own has for ``event``, borrowed; NULL if nothing."""
        cdef PyObject* table = PyDict_GetItem(self._events, None)
        if table is NULL or <object>table is None:
            return NULL
        return PyDict_GetItem(<dict>table, event)

    cdef dict _own(self):
        """The table to change."""
        cdef PyObject* link
        if self._events is None:
            self._events = {}
        else:
            link = PyDict_GetItem(self._events, None)
            if link is not NULL and <object>link is None:
                self._events = {None: self._events}
        return self._events

    cdef int _store(self, str event, tuple listeners) except -1:
        cdef dict events = self._own()
        if listeners or self._shared(event) is not NULL:
            events[event] = listeners
        else:
            events.pop(event, None)
        return 0

    cdef int _add(self, str event, object fn, bint once, bint prepend, bint serialize) except -1:
        # Tuples are replaced, never changed: a round in progress keeps the listeners it began with.
        cdef Listener listener = Listener(fn, once, self._plan(event, fn, serialize))
        cdef tuple listeners = self._listeners_of(event)
        cdef dict events = self._own()
        if listeners is None:
            events[event] = (listener,)
            self._listened(event)
        elif prepend:
            events[event] = (listener, *listeners)
        else:
            events[event] = (*listeners, listener)
        return 0

    cdef int _remove_entry(self, str event, Listener listener) except -1:
        cdef tuple listeners = self._listeners_of(event)
        if listeners is not None:
            self._store(event, tuple([entry for entry in listeners if entry is not listener]))
        return 0


cdef inline int _call(
    EventEmitter emitter, str event, object fn, object call, tuple given, object ack
) except -1:
    """Call ``call`` for the listener ``fn``; ``ack``, unless None, is answered with what it returns."""
    cdef object result = PyObject_CallObject(call, given)
    if result is not None and hasattr(result, "__await__"):
        if _start_awaitable is None:
            raise RuntimeError("an async listener needs a running fastsio engine")
        _start_awaitable(result, ack, _Failure(emitter, event, fn))
    elif ack is not None:
        _answer(ack, result)
    return 0


cdef int _answer(object ack, object result) except -1:
    """A handler's return value as an acknowledgement: a tuple is several arguments, None is none."""
    if result is None:
        ack()
    elif type(result) is tuple:
        PyObject_CallObject(ack, result)
    else:
        ack(result)
    return 0


def answer(ack, result):
    """Acknowledge with a handler's return value: a tuple is several arguments, None is none."""
    _answer(ack, result)


cdef class _Registrar:
    """What ``@x.on("event")`` returns: registers the function below it and hands it back."""

    cdef EventEmitter emitter
    cdef str event
    cdef bint once
    cdef bint serialize

    def __cinit__(self, EventEmitter emitter, str event, bint once, bint serialize):
        self.emitter = emitter
        self.event = event
        self.once = once
        self.serialize = serialize

    def __call__(self, fn):
        self.emitter._add(self.event, fn, self.once, False, self.serialize)
        return fn


cdef class _Failure:
    """Takes an async listener's exception back to the emitter it belongs to."""

    cdef EventEmitter emitter
    cdef str event
    cdef object fn

    def __cinit__(self, EventEmitter emitter, str event, object fn):
        self.emitter = emitter
        self.event = event
        self.fn = fn

    def __call__(self, error):
        self.emitter._listener_failed(self.event, self.fn, error)
