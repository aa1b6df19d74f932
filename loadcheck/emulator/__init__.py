"""Emulates Amplitude as documented, so that loadcheck can be tried without an account.

It shares no code with the rest of loadcheck: a shared counting bug would go unnoticed. In the order
in which data flows: :mod:`~loadcheck.emulator.protocol` reads requests off the socket,
:mod:`~loadcheck.emulator.upload` takes uploads, which :mod:`~loadcheck.emulator.check` checks and
:mod:`~loadcheck.emulator.limits` throttles, :mod:`~loadcheck.emulator.store` keeps the events in
columns, :mod:`~loadcheck.emulator.segmentation` counts them.
:mod:`~loadcheck.emulator.faults` makes it misbehave on purpose and records every hit;
:mod:`~loadcheck.emulator.service` puts the parts together. :mod:`~loadcheck.emulator.process` runs
it as a child process, :mod:`~loadcheck.emulator.standalone` on its own.

Comments mark where a rule comes from: [D] documented by Amplitude, [S] behaviour of its SDKs,
[U-obs] seen by other clients, [U] undocumented and decided here.
"""
