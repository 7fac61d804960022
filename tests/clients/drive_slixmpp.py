"""A client of slixmpp, as tests/clients.rs wants one: PORT COUNT CERTIFICATE|plain. See drive_libstrophe.c."""

import asyncio
import sys

import slixmpp


class Driver(slixmpp.ClientXMPP):
    def __init__(self, count):
        super().__init__("alice@localhost/slixmpp", "secret")
        self.count = count
        self.got = asyncio.Semaphore(0)
        self["feature_mechanisms"].unencrypted_plain = True
        self.add_event_handler("session_start", self.on_session)
        self.add_event_handler("message", self.on_message)

    def on_message(self, message):
        print("got", message["id"], flush=True)
        self.got.release()

    def send_messages(self, to):
        for number in range(self.count):
            message = self.make_message(mto=to, mbody=str(number), mtype="chat")
            message["id"] = str(number)
            # At once: `message.send()` leaves it to the event loop, which reads first.
            self.send_raw(str(message))

    async def on_session(self, _):
        self.send_messages(self.boundjid.full)
        print("ready", flush=True)
        order = sys.stdin.readline()  # on purpose: it stops the event loop
        if order == "read\n":
            for _ in range(self.count):
                await self.got.acquire()
        self.send_messages("bob@localhost")
        if order != "stay\n":
            self.disconnect()


port, count, tls = sys.argv[1:]
driver = Driver(int(count))
if tls != "plain":
    driver.ca_certs = tls
if hasattr(driver, "enable_plaintext"):  # since 1.9
    driver.enable_direct_tls = False
    driver.enable_starttls = tls != "plain"
    driver.enable_plaintext = tls == "plain"
    driver.connect("127.0.0.1", int(port))
else:
    driver.connect(("127.0.0.1", int(port)), disable_starttls=tls == "plain", force_starttls=tls != "plain")
reason = driver.loop.run_until_complete(driver.wait_until("disconnected", 60))
print("ended:", reason, flush=True)
