// A client of gloox, as tests/clients.rs wants one: PORT COUNT CERTIFICATE|plain. See drive_libstrophe.c.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gloox/client.h>
#include <gloox/connectionlistener.h>
#include <gloox/message.h>
#include <gloox/messagehandler.h>

class Driver : public gloox::ConnectionListener, public gloox::MessageHandler {
  public:
    bool connected = false;
    bool ended = false;
    int got = 0;

    void onConnect() override { connected = true; }

    void onDisconnect(gloox::ConnectionError error) override
    {
        ended = true;
        if (error == gloox::ConnStreamClosed)
            std::puts("ended: ConnStreamClosed");
        else if (error == gloox::ConnUserDisconnected)
            std::puts("ended: ConnUserDisconnected");
        else
            std::printf("ended: error %d\n", error);
    }

    // The certificate is one of the test's own.
    bool onTLSConnect(const gloox::CertInfo &) override { return true; }

    void handleMessage(const gloox::Message &message, gloox::MessageSession *) override
    {
        got++;
        std::printf("got %s\n", message.body().c_str());
    }
};

static void send_messages(gloox::Client &client, const char *to, int count)
{
    for (int i = 0; i < count; i++)
        client.send(gloox::Message(gloox::Message::Chat, gloox::JID(to), std::to_string(i)));
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    int count = std::atoi(argv[2]);
    Driver driver;
    gloox::Client client(gloox::JID("alice@localhost/gloox"), "secret", std::atoi(argv[1]));
    client.setServer("127.0.0.1");
    client.setTls(std::strcmp(argv[3], "plain") == 0 ? gloox::TLSDisabled : gloox::TLSRequired);
    client.setCompression(false);
    client.registerConnectionListener(&driver);
    client.registerMessageHandler(&driver);
    if (!client.connect(false))
        return 3;
    while (!driver.connected && !driver.ended)
        client.recv(50 * 1000);

    send_messages(client, "alice@localhost/gloox", count);
    std::puts("ready");
    char order[16];
    if (!std::fgets(order, sizeof order, stdin))
        return 4;
    while (std::strcmp(order, "read\n") == 0 && driver.got < count && !driver.ended)
        client.recv(50 * 1000);
    send_messages(client, "bob@localhost", count);
    if (std::strcmp(order, "stay\n") != 0)
        client.disconnect();
    while (!driver.ended)
        client.recv(50 * 1000);
    return 0;
}
