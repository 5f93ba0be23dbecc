// Tally: counts the lines of its sources by their first word, and says how often when asked.
//
//   radics-mesh build examples/Tally.java -o tally.img
//   radics-mesh run tally.img --name tally --memory 96 --source text -- dtn://base/reports
//
// Whoever sends a word to this VM's EID + "count" is told its count. At the end of all sources the
// whole tally goes to the EID that was given.
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import radics.Radics;

public final class Tally {
    private static final Map<String, Integer> COUNTS = new ConcurrentSkipListMap<>();

    private static void read(String source) {
        for (Radics.Message line : Radics.subscribe(source))
            COUNTS.merge(line.text().split("\\s+", 2)[0], 1, Integer::sum);
    }

    private static void answer() {
        for (Radics.Message request : Radics.serve("count"))
            request.reply((COUNTS.getOrDefault(request.text(), 0) + " on " + Radics.host()).getBytes());
    }

    public static void main(String[] args) throws InterruptedException {
        Thread answering = new Thread(Tally::answer);
        answering.setDaemon(true);
        answering.start();
        List<String> sources = Radics.sources();
        List<Thread> readers = new ArrayList<>();
        for (String source : sources.isEmpty() ? List.of("text") : sources) {
            Thread reader = new Thread(() -> read(source));
            reader.start();
            readers.add(reader);
        }
        for (Thread reader : readers) reader.join();
        if (args.length > 0) Radics.send(args[0], COUNTS.toString().getBytes());
        System.out.println(COUNTS);
    }
}
