import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.module.Configuration;
import java.lang.module.ModuleFinder;
import java.lang.module.ModuleReference;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * Makes a run-time image of the modules that an application needs, with the JDK it is
 * run by, and writes to standard output what of it is new: for each file its path and
 * length, and of what is not as in the JDK the content.
 *
 * Arguments: a file of lines. "j PATH" is a jar or folder of classes that the
 * application used, "l NAME" a native library of the JDK.
 */
public class Link {
    /** Not bound as providers: they would bring in the compiler, or the desktop. */
    private static final Set<String> UNBOUND = Set.of("java.desktop", "jdk.attach", "jdk.compiler", "jdk.editpad",
            "jdk.hotspot.agent", "jdk.internal.ed", "jdk.internal.jvmstat", "jdk.internal.le", "jdk.internal.opt",
            "jdk.internal.vm.compiler", "jdk.internal.vm.compiler.management", "jdk.jartool", "jdk.javadoc",
            "jdk.jcmd", "jdk.jconsole", "jdk.jdeps", "jdk.jdi", "jdk.jlink", "jdk.jpackage", "jdk.jshell", "jdk.jstatd");

    public static void main(String[] args) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        Path temp = Files.createTempDirectory("link");
        List<Path> classes = new ArrayList<>();
        Set<String> libraries = new TreeSet<>();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            if (line.startsWith("l ")) {
                libraries.add(line.substring(2));
            } else {
                classes.add(Path.of(line.substring(2)));
            }
        }
        for (Path jar : List.copyOf(classes)) {
            unpack(jar, temp, classes);
        }
        Set<String> modules = new TreeSet<>(Set.of("java.base"));
        modules.addAll(ofClasses(classes, temp));
        modules.addAll(ofLibraries(libraries));
        modules = bind(modules);
        Path image = temp.resolve("image");
        run("jlink", "--no-header-files", "--no-man-pages", "--add-modules", String.join(",", modules), "--output", image.toString());
        write(image, out);
    }

    /** Takes the classes and jars out of an archive that holds an application (BOOT-INF, WEB-INF). */
    private static void unpack(Path jar, Path temp, List<Path> classes) throws IOException {
        if (Files.isDirectory(jar)) {
            return;
        }
        Path own = null;
        try (ZipFile zip = new ZipFile(jar.toFile())) {
            for (ZipEntry e : zip.stream().collect(Collectors.toList())) {
                String name = e.getName();
                boolean inner = name.matches("(BOOT|WEB)-INF/lib(-provided)?/[^/]+\\.jar");
                if (e.isDirectory() || !inner && !name.matches("(BOOT|WEB)-INF/classes/.*\\.class")) {
                    continue;
                }
                if (own == null) {
                    own = Files.createTempDirectory(temp, "jar");
                    classes.add(own);
                }
                Path to = own.resolve(inner ? name.substring(name.lastIndexOf('/') + 1) : name.replaceFirst("^[^/]*/classes/", "")).normalize();
                if (!to.startsWith(own)) {
                    continue;
                }
                Files.createDirectories(to.getParent());
                try (InputStream in = zip.getInputStream(e)) {
                    Files.copy(in, to);
                }
                if (inner) {
                    classes.add(to);
                }
            }
        } catch (java.util.zip.ZipException e) {
            System.err.println(jar + ": " + e.getMessage());
        }
    }

    /** The modules that jdeps finds. */
    private static Set<String> ofClasses(List<Path> classes, Path temp) throws IOException {
        Set<String> modules = new TreeSet<>();
        for (Path p : classes) {
            // One by one: a jar that jdeps cannot read must not hide the others.
            String text;
            try {
                text = jdeps(p);
            } catch (java.lang.module.FindException e) {
                // A module whose own needs lie on the class path: its classes alone will do.
                text = jdeps(explode(p, temp));
            } catch (IllegalStateException e) {
                System.err.println(e.getMessage());
                continue;
            }
            for (String name : text.trim().split("[,\\s]+")) {
                if (ModuleFinder.ofSystem().find(name).isPresent()) {
                    modules.add(name);
                }
            }
        }
        return modules;
    }

    private static String jdeps(Path p) {
        return run("jdeps", "-q", "--ignore-missing-deps", "--multi-release", String.valueOf(Runtime.version().feature()),
                "--print-module-deps", p.toString());
    }

    /** The classes of a jar as a folder that is no module. */
    private static Path explode(Path jar, Path temp) throws IOException {
        Path dir = Files.createTempDirectory(temp, "classes");
        try (ZipFile zip = new ZipFile(jar.toFile())) {
            for (ZipEntry e : zip.stream().collect(Collectors.toList())) {
                Path to = dir.resolve(e.getName()).normalize();
                if (!e.getName().endsWith(".class") || e.getName().endsWith("module-info.class") || !to.startsWith(dir)) {
                    continue;
                }
                Files.createDirectories(to.getParent());
                try (InputStream in = zip.getInputStream(e)) {
                    Files.copy(in, to, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
                }
            }
        }
        return dir;
    }

    /** The modules that brought the native libraries. */
    private static Set<String> ofLibraries(Set<String> names) throws IOException {
        Set<String> modules = new TreeSet<>();
        Path jmods = Path.of(System.getProperty("java.home"), "jmods");
        if (!Files.isDirectory(jmods)) {
            return modules;
        }
        try (Stream<Path> files = Files.list(jmods)) {
            for (Path jmod : files.sorted().collect(Collectors.toList())) {
                for (String line : run("jmod", "list", jmod.toString()).split("\n")) {
                    line = line.trim();
                    if (line.startsWith("lib/") && names.contains(line.substring(line.lastIndexOf('/') + 1))) {
                        modules.add(jmod.getFileName().toString().replaceFirst("\\.jmod$", ""));
                    }
                }
            }
        }
        return modules;
    }

    /** The modules with all they require, and those that provide what these use: character sets, locales, ciphers. */
    private static Set<String> bind(Set<String> roots) {
        ModuleFinder system = ModuleFinder.ofSystem();
        Set<String> needed = Configuration.empty().resolve(system, ModuleFinder.of(), roots).modules().stream()
                .map(m -> m.name()).collect(Collectors.toSet());
        ModuleFinder finder = new ModuleFinder() {
            private boolean admits(String name) {
                return needed.contains(name) || !UNBOUND.contains(name);
            }

            @Override
            public java.util.Optional<ModuleReference> find(String name) {
                return admits(name) ? system.find(name) : java.util.Optional.empty();
            }

            @Override
            public Set<ModuleReference> findAll() {
                // A provider that requires one of these would not resolve.
                return system.findAll().stream().filter(m -> admits(m.descriptor().name()))
                        .filter(m -> m.descriptor().requires().stream().allMatch(r -> admits(r.name())))
                        .collect(Collectors.toSet());
            }
        };
        return Configuration.empty().resolveAndBind(finder, ModuleFinder.of(), roots).modules().stream()
                .map(m -> m.name()).collect(Collectors.toCollection(TreeSet::new));
    }

    private static void write(Path image, PrintStream out) throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.walk(image)) {
            files = all.filter(p -> !Files.isDirectory(p)).sorted().collect(Collectors.toList());
        }
        DataOutputStream data = new DataOutputStream(out);
        for (Path p : files) {
            String name = image.relativize(p).toString();
            boolean isNew = Arrays.asList("lib/modules", "release").contains(name);
            data.writeUTF(name);
            data.writeLong(isNew ? Files.size(p) : -1);
            if (isNew) {
                data.flush();
                Files.copy(p, out);
            }
        }
        data.writeUTF("");
        data.flush();
        if (out.checkError()) {
            throw new IOException("the run-time image could not be written");
        }
    }

    private static String run(String tool, String... args) {
        ToolProvider provider = ToolProvider.findFirst(tool).orElseThrow(() -> new IllegalStateException("this JDK has no " + tool));
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        PrintStream out = new PrintStream(text);
        int status = provider.run(out, out, args);
        if (status != 0) {
            throw new IllegalStateException(tool + " " + String.join(" ", args) + ": status " + status + "\n" + text);
        }
        return text.toString();
    }
}
