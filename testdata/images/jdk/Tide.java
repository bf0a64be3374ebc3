import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.Charset;
import java.security.KeyPairGenerator;
import java.time.LocalDate;
import java.time.format.DateTimeFormatter;
import java.time.format.FormatStyle;
import java.util.HexFormat;
import java.util.Locale;
import java.util.logging.Logger;

/** Tells of character sets, dates and keys, each of which another module of the JDK provides. */
public class Tide {
    public static void main(String[] args) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.createContext("/", Tide::answer);
        server.start();
        Logger.getLogger("tide").info("ready");
    }

    private static void answer(HttpExchange x) throws IOException {
        String[] path = x.getRequestURI().getPath().split("/", 3);
        int status = 200;
        String text;
        try {
            text = tell(path[1], path.length > 2 ? path[2] : "");
        } catch (Exception e) {
            status = 500;
            text = e.getClass().getName();
        }
        byte[] body = (text + "\n").getBytes("UTF-8");
        x.sendResponseHeaders(status, body.length);
        x.getResponseBody().write(body);
        x.close();
    }

    private static String tell(String what, String which) throws Exception {
        switch (what) {
            case "":
                return "high water";
            case "bytes":
                return HexFormat.of().formatHex("Gezeiten".getBytes(Charset.forName(which)));
            case "date":
                return LocalDate.of(1953, 2, 1).format(DateTimeFormatter.ofLocalizedDate(FormatStyle.FULL).withLocale(Locale.forLanguageTag(which)));
            case "key":
                return KeyPairGenerator.getInstance(which).generateKeyPair().getPublic().getAlgorithm();
            default:
                throw new IllegalArgumentException(what);
        }
    }
}
