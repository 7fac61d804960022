/* A client of libstrophe, as tests/clients.rs wants one: PORT COUNT CERTIFICATE|plain.
 *
 * It logs in, sends COUNT numbered messages to itself, says "ready" and freezes, so that they wait in its socket. Told
 * "read", it gets them first; then, or told "stay" or "close", it sends COUNT to bob. Unless it is to stay, it closes the
 * stream. It says what it gets, and how it ended.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>

static int connected, ended, got;

static void on_connection(xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *stream_error,
                          void *userdata)
{
    (void)conn;
    (void)userdata;
    if (event == XMPP_CONN_CONNECT) {
        connected = 1;
        return;
    }
    ended = 1;
    if (event == XMPP_CONN_DISCONNECT)
        printf("ended: XMPP_CONN_DISCONNECT, error %d%s\n", error, stream_error ? ", stream error" : "");
    else
        printf("ended: event %d, error %d\n", event, error);
}

static int on_message(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *userdata)
{
    (void)conn;
    (void)userdata;
    got++;
    printf("got %s\n", xmpp_stanza_get_id(stanza));
    return 1;
}

static void send_messages(xmpp_ctx_t *ctx, xmpp_conn_t *conn, const char *to, int count)
{
    int i;
    for (i = 0; i < count; i++) {
        char id[16];
        xmpp_stanza_t *message;
        snprintf(id, sizeof id, "%d", i);
        message = xmpp_message_new(ctx, "chat", to, id);
        xmpp_message_set_body(message, id);
        xmpp_send(conn, message);
        xmpp_stanza_release(message);
    }
}

int main(int argc, char **argv)
{
    xmpp_ctx_t *ctx;
    xmpp_conn_t *conn;
    char order[16];
    int count;
    if (argc != 4)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    count = atoi(argv[2]);
    xmpp_initialize();
    ctx = xmpp_ctx_new(NULL, xmpp_get_default_logger(XMPP_LEVEL_WARN));
    conn = xmpp_conn_new(ctx);
    xmpp_conn_set_flags(conn, strcmp(argv[3], "plain") == 0
                                  ? XMPP_CONN_FLAG_DISABLE_TLS
                                  : XMPP_CONN_FLAG_MANDATORY_TLS | XMPP_CONN_FLAG_TRUST_TLS);
    xmpp_conn_set_jid(conn, "alice@localhost/libstrophe");
    xmpp_conn_set_pass(conn, "secret");
    xmpp_handler_add(conn, on_message, NULL, "message", NULL, NULL);
    if (xmpp_connect_client(conn, "127.0.0.1", (unsigned short)atoi(argv[1]), on_connection, NULL) != XMPP_EOK)
        return 3;
    while (!connected && !ended)
        xmpp_run_once(ctx, 50);

    send_messages(ctx, conn, "alice@localhost/libstrophe", count);
    while (!ended && xmpp_conn_send_queue_len(conn) > 0)
        xmpp_run_once(ctx, 0);
    puts("ready");
    if (!fgets(order, sizeof order, stdin))
        return 4;
    while (strcmp(order, "read\n") == 0 && got < count && !ended)
        xmpp_run_once(ctx, 50);
    send_messages(ctx, conn, "bob@localhost", count);
    if (strcmp(order, "stay\n") != 0)
        xmpp_disconnect(conn);
    while (!ended)
        xmpp_run_once(ctx, 50);

    xmpp_conn_release(conn);
    xmpp_ctx_free(ctx);
    xmpp_shutdown();
    return 0;
}
