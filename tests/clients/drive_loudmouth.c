/* A client of loudmouth, as tests/clients.rs wants one: PORT COUNT CERTIFICATE|plain. See drive_libstrophe.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <loudmouth/loudmouth.h>

static gboolean ended;
static int got;

static void on_disconnect(LmConnection *connection, LmDisconnectReason reason, gpointer userdata)
{
    (void)connection;
    (void)userdata;
    ended = TRUE;
    if (reason == LM_DISCONNECT_REASON_OK)
        puts("ended: LM_DISCONNECT_REASON_OK");
    else if (reason == LM_DISCONNECT_REASON_HUP)
        puts("ended: LM_DISCONNECT_REASON_HUP");
    else
        printf("ended: reason %d\n", reason);
}

static LmHandlerResult on_message(LmMessageHandler *handler, LmConnection *connection, LmMessage *message,
                                  gpointer userdata)
{
    (void)handler;
    (void)connection;
    (void)userdata;
    got++;
    printf("got %s\n", lm_message_node_get_attribute(message->node, "id"));
    return LM_HANDLER_RESULT_REMOVE_MESSAGE;
}

/* The certificate is one of the test's own. */
static LmSSLResponse on_certificate(LmSSL *ssl, LmSSLStatus status, gpointer userdata)
{
    (void)ssl;
    (void)status;
    (void)userdata;
    return LM_SSL_RESPONSE_CONTINUE;
}

static void send_messages(LmConnection *connection, const char *to, int count)
{
    int i;
    for (i = 0; i < count; i++) {
        char id[16];
        LmMessage *message = lm_message_new(to, LM_MESSAGE_TYPE_MESSAGE);
        snprintf(id, sizeof id, "%d", i);
        lm_message_node_set_attribute(message->node, "id", id);
        lm_message_node_add_child(message->node, "body", id);
        if (!lm_connection_send(connection, message, NULL))
            printf("not sent: %s\n", id);
        lm_message_unref(message);
    }
}

int main(int argc, char **argv)
{
    GMainContext *context;
    LmConnection *connection;
    LmMessageHandler *handler;
    GError *error = NULL;
    char order[16];
    int count;
    if (argc != 4)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    count = atoi(argv[2]);
    context = g_main_context_new();
    connection = lm_connection_new_with_context("127.0.0.1", context);
    lm_connection_set_port(connection, (guint)atoi(argv[1]));
    lm_connection_set_jid(connection, "alice@localhost");
    if (strcmp(argv[3], "plain") != 0) {
        LmSSL *ssl = lm_ssl_new(NULL, on_certificate, NULL, NULL);
        lm_ssl_use_starttls(ssl, TRUE, TRUE);
        lm_connection_set_ssl(connection, ssl);
        lm_ssl_unref(ssl);
    }
    lm_connection_set_disconnect_function(connection, on_disconnect, NULL, NULL);
    handler = lm_message_handler_new(on_message, NULL, NULL);
    lm_connection_register_message_handler(connection, handler, LM_MESSAGE_TYPE_MESSAGE, LM_HANDLER_PRIORITY_NORMAL);
    if (!lm_connection_open_and_block(connection, &error) ||
        !lm_connection_authenticate_and_block(connection, "alice", "secret", "loudmouth", &error)) {
        fprintf(stderr, "%s\n", error->message);
        return 3;
    }

    send_messages(connection, "alice@localhost/loudmouth", count);
    puts("ready");
    if (!fgets(order, sizeof order, stdin))
        return 4;
    while (strcmp(order, "read\n") == 0 && got < count && !ended)
        g_main_context_iteration(context, TRUE);
    send_messages(connection, "bob@localhost", count);
    if (strcmp(order, "stay\n") != 0)
        lm_connection_close(connection, NULL);
    while (!ended)
        g_main_context_iteration(context, TRUE);

    lm_message_handler_unref(handler);
    lm_connection_unref(connection);
    g_main_context_unref(context);
    return 0;
}
