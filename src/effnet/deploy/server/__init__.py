"""Serving a bundle over HTTP: `effnet serve` (docs/serving.md says what it promises).

A request passes four rooms. `body` reads its bytes, bounded in size and time; `admission` refuses at once what could
not be answered in time; `decoder_pool` hands the bytes to a child process (`decoder`) that may be killed; `batching`
groups the pixels for the engine. `service` joins them, `app` speaks HTTP, `launch` runs the process.
"""
