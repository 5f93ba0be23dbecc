package radics;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Iterator;
import java.util.List;

/**
 * What a program on RaDiCS can do beyond Java's class library: messages, requests and services, data
 * sources, checkpoints, keys and values, and asking and saying where to be.
 *
 * <pre>
 * for (var line : Radics.subscribe("text"))
 *     System.out.println(Radics.host() + ": " + line.text());
 * Radics.send("dtn://base/reports", "the stream has ended".getBytes());
 * </pre>
 *
 * A timeout of null waits for ever. Where a message was waited for, null says that the time is over
 * or the stream at its end. All other failures are {@link Failure}.
 */
public final class Radics {
    public static final int MESSAGE_MAX = 65536;

    /** A call failed; errno as in C's radics.h, ENOTCONN (107) without a host. */
    public static final class Failure extends RuntimeException {
        public final int errno;

        Failure(int errno) {
            super("errno " + errno);
            this.errno = errno;
        }
    }

    /** What somebody sent, or a source published; number counts from 1 in its stream. */
    public record Message(byte[] payload, String from, String to, long number) {
        public String text() {
            return new String(payload, StandardCharsets.UTF_8);
        }

        public void reply(byte[] payload) {
            send(from, payload);
        }
    }

    /** A subscription or a service. */
    public static final class Stream implements Iterable<Message> {
        private final int id;

        private Stream(int id) {
            this.id = id;
        }

        public Message receive(Duration timeout) {
            return Radics.receive(id, nanoseconds(timeout));
        }

        public void close() {
            check(closeStream(id));
        }

        @Override
        public Iterator<Message> iterator() {
            return new Iterator<>() {
                private Message next;

                @Override
                public boolean hasNext() {
                    if (next == null) next = receive(null);
                    return next != null;
                }

                @Override
                public Message next() {
                    if (!hasNext()) throw new java.util.NoSuchElementException();
                    Message message = next;
                    next = null;
                    return message;
                }
            };
        }
    }

    static {
        System.loadLibrary("radics_java");
    }

    private Radics() {}

    private static int check(int result) {
        if (result < 0) throw new Failure(-result);
        return result;
    }

    private static long nanoseconds(Duration timeout) {
        return timeout == null ? -1 : Math.max(0, timeout.toNanos());
    }

    public static void send(String to, byte[] payload) {
        check(sendFor(to, payload, 0));
    }

    /** How long the message may travel; zero is the node's default. */
    public static void send(String to, byte[] payload, Duration lifetime) {
        check(sendFor(to, payload, lifetime.plusNanos(999_999_999).toSeconds()));
    }

    /** The next message of the mailbox. */
    public static Message receive(Duration timeout) {
        return receive(0, nanoseconds(timeout));
    }

    public static Stream subscribe(String source) {
        return new Stream(check(subscribeTo(source)));
    }

    public static Stream serve(String service) {
        return new Stream(check(serveAs(service)));
    }

    /** The reply, or null if none came in time. */
    public static Message request(String to, byte[] payload, Duration timeout) {
        return request(to, payload, nanoseconds(timeout));
    }

    /** false when the VM is on the host's disk; true each time that it is set back to here. */
    public static boolean checkpoint() {
        return check(makeCheckpoint()) == 1;
    }

    public static void moveNear(String source) {
        check(hint(1, source));
    }

    public static void moveTo(String node) {
        check(hint(2, node));
    }

    public static void stay() {
        check(hint(3, ""));
    }

    public static void moveFree() {
        check(hint(0, ""));
    }

    /** A value from the library OS's memory, or null. */
    public static native byte[] get(String key);

    public static void put(String key, byte[] value) {
        check(putValue(key, value));
    }

    public static void erase(String key) {
        check(eraseValue(key));
    }

    public static String name() {
        return info(0);
    }

    public static String eid() {
        return info(1);
    }

    public static String host() {
        return info(2);
    }

    public static long epoch() {
        return Long.parseLong(info(4));
    }

    public static List<String> sources() {
        return info(6).lines().toList();
    }

    /** Levels: 2 debug, 3 info, 4 warn, 5 error. */
    public static void log(int level, String text) {
        check(logLine(level, text));
    }

    private static native int sendFor(String to, byte[] payload, long lifetimeS);

    private static native Message receive(int stream, long timeoutNs);

    private static native Message request(String to, byte[] payload, long timeoutNs);

    private static native int subscribeTo(String source);

    private static native int serveAs(String service);

    private static native int closeStream(int stream);

    private static native int makeCheckpoint();

    private static native int hint(int what, String name);

    private static native int putValue(String key, byte[] value);

    private static native int eraseValue(String key);

    private static native String info(int what);

    private static native int logLine(int level, String text);
}
