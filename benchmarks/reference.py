"""What Socket.IO itself costs: a bare python-socketio server, on the same event loop, that says every line to one room.

No database, no rules. `python -m benchmarks.reference PORT`
"""

import sys

import socketio
import uvloop
from aiohttp import web

LOOPBACK = "127.0.0.1"


def create_application() -> web.Application:
    server = socketio.AsyncServer(async_mode="aiohttp", async_handlers=False, cors_allowed_origins=[])

    @server.on("watch", namespace="/agents")
    async def watch(sid: str, payload: dict) -> dict:
        await server.enter_room(sid, "watchers", namespace="/agents")
        return {"ok": None}

    @server.on("post_message", namespace="/customers")
    async def post_message(sid: str, payload: dict) -> dict:
        """To its customer and to every watcher, as Handoff says a line."""
        await server.emit("message_posted", payload["to_customer"], namespace="/customers", to=sid)
        await server.emit("message_posted", payload["to_watchers"], namespace="/agents", room="watchers")
        return {"ok": None}

    @server.on("connect", namespace="*")
    async def connect(namespace: str, sid: str, environ: dict, auth: dict) -> None:
        """Everybody may come in."""

    server.register_namespace(socketio.AsyncNamespace("/agents"))
    server.register_namespace(socketio.AsyncNamespace("/customers"))
    application = web.Application()
    server.attach(application)
    return application


if __name__ == "__main__":
    web.run_app(
        create_application(), host=LOOPBACK, port=int(sys.argv[1]), loop=uvloop.new_event_loop(), access_log=None, print=None
    )
