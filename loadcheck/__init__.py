"""loadcheck: a load generator that proves its load arrived.

The packages, in the order in which data flows through them: :mod:`loadcheck.scenario` reads what
to do, :mod:`loadcheck.workflow` compiles what to send, :mod:`loadcheck.load` sends it,
:mod:`loadcheck.measure` holds what was seen, :mod:`loadcheck.verify` asks the service and judges,
:mod:`loadcheck.result` keeps it, :mod:`loadcheck.report` shows it. :mod:`loadcheck.pipeline` is
the whole program in one function; :mod:`loadcheck.emulator` is the service to try it on.
"""

__version__ = "0.1.0"
