/* libuv beside punctual, as its documentation advises: an idle timeout is a repeating timer of the connection that every message starts
 * anew (uv_timer_again), a write is tried at once (uv_try_write), one buffer serves all reads of an echo. Deadlines are whole
 * milliseconds, rounded up, and counted from a loop time that was just updated where a sleep begins (uv_update_time).
 * It speaks to the parent as the other peers do: the address it listens on in a line, or figures, `name<TAB>value`. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#define CHECK(call) do { int code = (call); if (code < 0) { fprintf(stderr, "%s: %s\n", #call, uv_strerror(code)); exit(1); } } while (0)
#define MS UINT64_C(1000000)

static uv_loop_t *loop;
static int64_t *late;
static size_t told, room;
static uint64_t cpu_before;

static uint64_t cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 + (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void woke(uint64_t deadline) {
    if (told == room) {
        room = room ? 2 * room : 4096;
        late = realloc(late, room * sizeof *late);
        if (!late) exit(1);
    }
    late[told++] = (int64_t)(uv_hrtime() - deadline);
}

static void tell(void) {
    uint64_t cpu = cpu_ns() - cpu_before;
    for (size_t i = 0; i < told; i++) printf("late\t%lld\n", (long long)late[i]);
    printf("cpu ns\t%llu\n", (unsigned long long)cpu);
}

/* Servers. */

struct connection {
    uv_tcp_t stream;
    uv_timer_t idle;
    int open;
    char buffer[]; /* of a holder; an echo has one for all */
};

static int bounded;
static uint64_t idle_ms;
static size_t own; /* what each connection keeps to read into */
static long ends;
static char shared[4096];

static void closed(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    if (--connection->open == 0) {
        free(connection);
        if (--ends == 0) exit(0);
    }
}

static void end(struct connection *connection) {
    if (uv_is_closing((uv_handle_t *)&connection->stream)) return;
    uv_close((uv_handle_t *)&connection->stream, closed);
    if (bounded) uv_close((uv_handle_t *)&connection->idle, closed);
}

static void idle_too_long(uv_timer_t *timer) { end(timer->data); }

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct connection *connection = handle->data;
    (void)suggested;
    *buffer = own ? uv_buf_init(connection->buffer, own) : uv_buf_init(shared, sizeof shared);
}

static void received(uv_stream_t *stream, ssize_t read, const uv_buf_t *buffer) {
    struct connection *connection = stream->data;
    if (read < 0) { end(connection); return; }
    if (read == 0) return;
    if (bounded) uv_timer_again(&connection->idle);
    uv_buf_t answer = uv_buf_init(buffer->base, (unsigned)read);
    /* There is room for so little, always. */
    if (uv_try_write(stream, &answer, 1) != read) end(connection);
}

static void connected(uv_stream_t *listener, int status) {
    CHECK(status);
    struct connection *connection = malloc(sizeof *connection + own);
    if (!connection) exit(1);
    CHECK(uv_tcp_init(loop, &connection->stream));
    connection->stream.data = connection;
    connection->open = 1 + bounded;
    CHECK(uv_accept(listener, (uv_stream_t *)&connection->stream));
    CHECK(uv_tcp_nodelay(&connection->stream, 1));
    if (bounded) {
        CHECK(uv_timer_init(loop, &connection->idle));
        connection->idle.data = connection;
        CHECK(uv_timer_start(&connection->idle, idle_too_long, idle_ms, idle_ms));
    }
    CHECK(uv_read_start((uv_stream_t *)&connection->stream, allocate, received));
}

static void serve(const char *variant) {
    uv_tcp_t listener;
    struct sockaddr_in address;
    int length = sizeof address;
    bounded = strcmp(variant, "no deadline") != 0;
    CHECK(uv_ip4_addr("127.0.0.1", 0, &address));
    CHECK(uv_tcp_init(loop, &listener));
    CHECK(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0));
    CHECK(uv_listen((uv_stream_t *)&listener, 4096, connected));
    CHECK(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &length));
    printf("127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    uv_run(loop, UV_RUN_DEFAULT);
}

/* Sleeps, one after the other: they come from the parent, a line each, in nanoseconds. The first few are not counted. */

enum { WARM_UPS = 3 };
static uint64_t *durations, deadline_ns;
static size_t wanted, next_sleep;

static void slept(uv_timer_t *timer);

static uint64_t whole_ms(uint64_t ns) { return (ns + MS - 1) / MS; }

static void begin(uv_timer_t *timer) {
    if (next_sleep == WARM_UPS) {
        told = 0;
        cpu_before = cpu_ns();
    }
    if (next_sleep == wanted) { uv_close((uv_handle_t *)timer, NULL); return; }
    uint64_t duration = durations[next_sleep++];
    deadline_ns = uv_hrtime() + duration;
    uv_update_time(loop);
    CHECK(uv_timer_start(timer, slept, whole_ms(duration), 0));
}

static void slept(uv_timer_t *timer) {
    woke(deadline_ns);
    begin(timer);
}

static void sleep_all(void) {
    unsigned long long ns;
    uv_timer_t timer;
    size_t space = 0;
    while (scanf("%llu", &ns) == 1) {
        if (wanted == space) {
            space = space ? 2 * space : 1024;
            durations = realloc(durations, space * sizeof *durations);
            if (!durations) exit(1);
        }
        durations[wanted++] = ns;
    }
    CHECK(uv_timer_init(loop, &timer));
    begin(&timer);
    uv_run(loop, UV_RUN_DEFAULT);
    tell();
}

/* A thousand that sleep 1 to 50 ms, again and again. */

struct sleeper {
    uv_timer_t timer;
    uint64_t random, deadline;
};

static uint64_t over;

static void sleeper_woke(uv_timer_t *timer);

static void sleeper_begins(struct sleeper *sleeper) {
    uint64_t now = uv_hrtime();
    if (now >= over) { uv_close((uv_handle_t *)&sleeper->timer, NULL); return; }
    sleeper->random ^= sleeper->random << 13;
    sleeper->random ^= sleeper->random >> 7;
    sleeper->random ^= sleeper->random << 17;
    uint64_t duration = MS + sleeper->random % (49 * MS + 1);
    sleeper->deadline = now + duration;
    uv_update_time(loop);
    CHECK(uv_timer_start(&sleeper->timer, sleeper_woke, whole_ms(duration), 0));
}

static void sleeper_woke(uv_timer_t *timer) {
    struct sleeper *sleeper = timer->data;
    woke(sleeper->deadline);
    sleeper_begins(sleeper);
}

static void crowd(uint64_t ms) {
    static struct sleeper sleepers[1000];
    cpu_before = cpu_ns();
    over = uv_hrtime() + ms * MS;
    for (size_t i = 0; i < 1000; i++) {
        sleepers[i].random = i * UINT64_C(0x9E3779B97F4A7C15) + 7;
        CHECK(uv_timer_init(loop, &sleepers[i].timer));
        sleepers[i].timer.data = &sleepers[i];
        sleeper_begins(&sleepers[i]);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    tell();
}

/* 200 dials, 20 at a time, of somebody who does not answer. */

struct dial {
    uv_tcp_t stream;
    uv_timer_t timer;
    uv_connect_t request;
    uint64_t deadline;
};

static void dialled(uv_connect_t *request, int status) { (void)request; (void)status; /* UV_ECANCELED: it was closed */ }

static void dial_timed_out(uv_timer_t *timer) {
    struct dial *dial = timer->data;
    woke(dial->deadline);
    uv_close((uv_handle_t *)&dial->stream, NULL);
    uv_close((uv_handle_t *)&dial->timer, NULL);
}

static void dial_all(int port) {
    static struct dial dials[20];
    struct sockaddr_in address;
    CHECK(uv_ip4_addr("127.0.0.1", port, &address));
    cpu_before = cpu_ns();
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 20; i++) {
            struct dial *dial = &dials[i];
            dial->deadline = uv_hrtime() + 250 * MS;
            CHECK(uv_tcp_init(loop, &dial->stream));
            CHECK(uv_timer_init(loop, &dial->timer));
            dial->timer.data = dial;
            uv_update_time(loop);
            CHECK(uv_timer_start(&dial->timer, dial_timed_out, 250, 0));
            CHECK(uv_tcp_connect(&dial->request, &dial->stream, (struct sockaddr *)&address, dialled));
        }
        uv_run(loop, UV_RUN_DEFAULT);
    }
    tell();
}

int main(int count, char **words) {
    if (count != 4) return 2;
    const char *what = words[1], *variant = words[2];
    long number = atol(words[3]);
    loop = uv_default_loop();
    if (!strcmp(what, "echo")) { idle_ms = 5000; ends = number; serve(variant); }
    else if (!strcmp(what, "hold")) { idle_ms = 60000; own = 1024; ends = -1; serve(variant); }
    else if (!strcmp(what, "sleep")) sleep_all();
    else if (!strcmp(what, "crowd")) crowd((uint64_t)number);
    else if (!strcmp(what, "dial")) dial_all((int)number);
    else return 2;
    return 0;
}
