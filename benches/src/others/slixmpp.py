"""slixmpp: for each line, a session, and the end of its stream. HOST PORT JID PASSWORD; says the time and the CPU time
in seconds."""

import asyncio
import logging
import sys
import time

import slixmpp

# asyncio complains of tasks that slixmpp leaves behind.
logging.disable()
host, port, jid, password = sys.argv[1:]


async def close():
    client = slixmpp.ClientXMPP(jid, password)
    client["feature_mechanisms"].unencrypted_plain = True
    client.connect((host, int(port)), disable_starttls=True)
    await client.wait_until("session_start", 60)
    start = time.monotonic(), time.process_time()
    # Done when it has ended, or was aborted.
    await client.disconnect()
    print(time.monotonic() - start[0], time.process_time() - start[1], flush=True)


loop = asyncio.get_event_loop()
for _ in sys.stdin:
    loop.run_until_complete(close())
