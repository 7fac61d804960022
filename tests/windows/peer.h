/* A connection over Winsock whose other end a thread plays: it reads up to our tag, sends a stanza and its own tag, and reads on
 * to the end, behind which nothing may have come. */
#ifndef PEER_H
#define PEER_H

#include <winsock2.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG "</stream:stream>"
#define ANSWER "<message/>" TAG

static void require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s: Winsock's error %d\n", what, WSAGetLastError());
        exit(1);
    }
}

static DWORD WINAPI answer(LPVOID socket)
{
    SOCKET s = *(SOCKET *)socket;
    char got[256];
    int len = 0, n;
    do {
        n = recv(s, got + len, (int)sizeof got - 1 - len, 0);
        require(n > 0, "the peer reads our tag");
        len += n;
        got[len] = '\0';
    } while (strstr(got, TAG) == NULL);
    require(send(s, ANSWER, (int)strlen(ANSWER), 0) == (int)strlen(ANSWER), "the peer answers");
    require(recv(s, got, (int)sizeof got, 0) == 0, "nothing comes behind our tag but the end");
    closesocket(s);
    return 0;
}

typedef struct {
    SOCKET ours, theirs;
    HANDLE thread;
} connection;

static void open_connection(connection *made)
{
    struct sockaddr_in address;
    int len = sizeof address;
    SOCKET listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(bind(listener, (struct sockaddr *)&address, len) == 0, "bind");
    require(listen(listener, 1) == 0, "listen");
    require(getsockname(listener, (struct sockaddr *)&address, &len) == 0, "getsockname");
    made->ours = socket(AF_INET, SOCK_STREAM, 0);
    require(connect(made->ours, (struct sockaddr *)&address, len) == 0, "connect");
    made->theirs = accept(listener, NULL, NULL);
    require(made->theirs != INVALID_SOCKET, "accept");
    closesocket(listener);
    made->thread = CreateThread(NULL, 0, answer, &made->theirs, 0, NULL);
    require(made->thread != NULL, "CreateThread");
}

static void end_connection(connection *made)
{
    closesocket(made->ours);
    require(WaitForSingleObject(made->thread, 60000) == WAIT_OBJECT_0, "the peer ends");
    CloseHandle(made->thread);
}

#endif
