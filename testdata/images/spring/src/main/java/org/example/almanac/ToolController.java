package org.example.almanac;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.RestController;
import org.yaml.snakeyaml.Yaml;

import javax.crypto.Cipher;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;
import javax.imageio.ImageIO;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.stream.StreamResult;
import javax.xml.transform.stream.StreamSource;
import javax.xml.xpath.XPathFactory;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.lang.management.ManagementFactory;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.Provider;
import java.security.Security;
import java.security.Signature;
import java.security.spec.ECGenParameterSpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.logging.LogManager;
import javax.management.ObjectName;

/** What the runtime itself brings, each part of it asked only here. */
@RestController
class ToolController {

    private final int port;

    ToolController(@Value("${server.port}") int port) {
        this.port = port;
    }

    @GetMapping("/trust")
    Map<String, Object> trust() throws Exception {
        TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        factory.init((KeyStore) null);
        var issuers = ((X509TrustManager) factory.getTrustManagers()[0]).getAcceptedIssuers();
        String names = String.join("\n", Arrays.stream(issuers).map(c -> c.getSubjectX500Principal().getName()).sorted().toList());
        return new TreeMap<>(Map.of("issuers", issuers.length, "sha", sha("SHA-256", names),
                "suites", SSLContext.getDefault().getSupportedSSLParameters().getCipherSuites().length,
                "disabled", Security.getProperty("jdk.tls.disabledAlgorithms")));
    }

    @GetMapping("/crypto")
    Map<String, Object> crypto() throws Exception {
        var derived = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA512")
                .generateSecret(new PBEKeySpec("almanac".toCharArray(), new byte[16], 1000, 256));
        Cipher aes = Cipher.getInstance("AES/GCM/NoPadding");
        aes.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(derived.getEncoded(), "AES"), new GCMParameterSpec(128, new byte[12]));
        KeyPairGenerator curve = KeyPairGenerator.getInstance("EC");
        curve.initialize(new ECGenParameterSpec("secp384r1"));
        var pair = curve.generateKeyPair();
        Signature signer = Signature.getInstance("SHA3-384withECDSA");
        signer.initSign(pair.getPrivate());
        signer.update(new byte[]{1});
        byte[] signature = signer.sign();
        signer.initVerify(pair.getPublic());
        signer.update(new byte[]{1});
        return new TreeMap<>(Map.of("providers", Arrays.stream(Security.getProviders()).map(Provider::getName).toList(),
                "sealed", HexFormat.of().formatHex(aes.doFinal("tide".getBytes(StandardCharsets.US_ASCII))),
                "verified", signer.verify(signature), "sha3", sha("SHA3-256", "almanac")));
    }

    private static String sha(String algorithm, String text) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    @PostMapping("/xml")
    String xml(@RequestBody String text) throws Exception {
        var document = DocumentBuilderFactory.newInstance().newDocumentBuilder()
                .parse(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
        String tides = XPathFactory.newInstance().newXPath().evaluate("count(//tide)", document);
        StringWriter out = new StringWriter();
        TransformerFactory.newInstance().newTransformer(new StreamSource(getClass().getResourceAsStream("/tides.xsl")))
                .transform(new StreamSource(new StringReader(text)), new StreamResult(out));
        return tides + " tides\n" + out;
    }

    @PostMapping("/yaml")
    Object yaml(@RequestBody String text) {
        return new Yaml().load(text);
    }

    @GetMapping("/chart/{format}")
    Map<String, Object> chart(@PathVariable String format) throws IOException {
        BufferedImage image = new BufferedImage(200, 100,
                format.equals("wbmp") ? BufferedImage.TYPE_BYTE_BINARY : BufferedImage.TYPE_INT_RGB);
        Graphics2D g = image.createGraphics();
        g.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
        g.setColor(Color.WHITE);
        g.fillRect(0, 0, 200, 100);
        g.setColor(Color.BLUE);
        g.drawOval(20, 20, 60, 60);
        g.setFont(new Font("DejaVu Sans", Font.PLAIN, 24));
        g.drawString("Tide Åé", 90, 60);
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        if (!ImageIO.write(image, format, out)) {
            throw new IllegalArgumentException("no writer of " + format);
        }
        BufferedImage back = ImageIO.read(new ByteArrayInputStream(out.toByteArray()));
        int ink = 0;
        for (int rgb : back.getRGB(0, 0, 200, 100, null, 0, 200)) {
            ink += (rgb & 0xff00) < 0x8000 ? 1 : 0;
        }
        return new TreeMap<>(Map.of("bytes", out.size(), "ink", ink, "font", g.getFont().getFontName()));
    }

    @GetMapping("/self")
    Map<String, Object> self() throws Exception {
        var request = HttpRequest.newBuilder(URI.create("http://localhost:" + port + "/actuator/health")).build();
        var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        return new TreeMap<>(Map.of("status", response.statusCode(), "health", response.body(),
                "address", InetAddress.getByName("127.0.0.1").getHostName()));
    }

    @PostMapping("/sort")
    List<String> sort(@RequestBody String words) throws Exception {
        return pipe(words.replace(' ', '\n'), Map.of("LC_ALL", "C"), "sort", "--unique");
    }

    @GetMapping("/date/{region}/{city}")
    List<String> date(@PathVariable String region, @PathVariable String city) throws Exception {
        return pipe("", Map.of("TZ", region + "/" + city), "date", "--date=@-14182940", "+%F %T %Z");
    }

    private static List<String> pipe(String input, Map<String, String> environment, String... command) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(environment);
        Process process = builder.start();
        try (var stdin = process.outputWriter()) {
            stdin.write(input);
        }
        List<String> lines = process.inputReader().lines().toList();
        if (!process.waitFor(20, TimeUnit.SECONDS) || process.exitValue() != 0) {
            throw new IllegalStateException(command[0] + ": " + lines);
        }
        return lines;
    }

    @GetMapping("/pack")
    Map<String, Object> pack() throws Exception {
        Path archive = Files.createTempDirectory("almanac").resolve("places.zip");
        try (var zip = FileSystems.newFileSystem(archive, Map.of("create", "true"))) {
            Files.copy(Path.of("data/places.csv"), zip.getPath("/places.csv"));
        }
        try (var zip = FileSystems.newFileSystem(archive)) {
            Path inside = zip.getPath("/places.csv");
            return new TreeMap<>(Map.of("size", Files.size(inside), "type", String.valueOf(Files.probeContentType(Path.of("a.csv")))));
        } finally {
            Files.delete(archive);
            Files.delete(archive.getParent());
        }
    }

    @GetMapping("/beans")
    Map<String, Object> beans() throws Exception {
        var server = ManagementFactory.getPlatformMBeanServer();
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        return new TreeMap<>(Map.of("domains", Arrays.stream(server.getDomains()).sorted().toList(),
                "almanac", server.getAttribute(new ObjectName("org.example:name=edition"), "Edition"),
                "memory", system.getTotalMemorySize() > 0, "threads", ManagementFactory.getThreadMXBean().getThreadCount() > 1));
    }

    @GetMapping("/host")
    Map<String, Object> host() throws Exception {
        LogManager.getLogManager().readConfiguration();
        return new TreeMap<>(Map.of("owner", Files.getOwner(Path.of("data/places.csv")).getName(),
                "mode", Files.getPosixFilePermissions(Path.of("data/places.csv")).size(),
                "home", System.getProperty("user.home"), "level", LogManager.getLogManager().getProperty(".level")));
    }
}
