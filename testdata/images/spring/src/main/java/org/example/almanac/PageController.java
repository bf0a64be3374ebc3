package org.example.almanac;

import jakarta.validation.Valid;
import jakarta.validation.constraints.Max;
import jakarta.validation.constraints.NotBlank;
import jakarta.validation.constraints.Size;
import org.springframework.http.HttpStatus;
import org.springframework.jdbc.core.JdbcTemplate;
import org.springframework.stereotype.Controller;
import org.springframework.ui.Model;
import org.springframework.web.bind.MethodArgumentNotValidException;
import org.springframework.web.bind.annotation.ExceptionHandler;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.PostMapping;
import org.springframework.web.bind.annotation.RequestBody;
import org.springframework.web.bind.annotation.ResponseBody;
import org.springframework.web.bind.annotation.ResponseStatus;
import org.springframework.web.server.ResponseStatusException;

import java.util.List;
import java.util.Map;

@Controller
class PageController {

    record Entry(@NotBlank String title, @Max(2100) int year, @Size(min = 2, max = 3) String country) {
    }

    private final JdbcTemplate jdbc;

    PageController(JdbcTemplate jdbc) {
        this.jdbc = jdbc;
    }

    @GetMapping("/")
    String index(Model model) {
        model.addAttribute("entries", jdbc.queryForList("SELECT id, title FROM entry ORDER BY id"));
        return "index";
    }

    @GetMapping("/entries/{id}")
    String entry(@PathVariable int id, Model model) {
        List<Map<String, Object>> found = jdbc.queryForList("SELECT * FROM entry WHERE id = ?", id);
        if (found.isEmpty()) {
            throw new ResponseStatusException(HttpStatus.NOT_FOUND);
        }
        model.addAttribute("entry", found.get(0));
        return "entry";
    }

    @GetMapping("/welcome")
    String welcome() {
        return "welcome";
    }

    @GetMapping("/century/{n}")
    @ResponseBody
    Map<String, Object> century(@PathVariable int n) {
        return jdbc.queryForMap("""
                SELECT COUNT(*) AS n, LISTAGG(title, ', ') WITHIN GROUP (ORDER BY title) AS titles,
                       FORMATDATETIME(MIN(happened), 'EEEE d MMMM yyyy', 'fr') AS first,
                       RAWTOHEX(HASH('SHA-256', STRINGTOUTF8(MIN(title)))) AS sha
                FROM entry WHERE EXTRACT(YEAR FROM happened) / ? = 1""", n * 100);
    }

    @PostMapping("/entries")
    @ResponseBody
    Map<String, Object> check(@Valid @RequestBody Entry entry) {
        return Map.of("title", entry.title);
    }

    @ExceptionHandler
    @ResponseBody
    @ResponseStatus(HttpStatus.BAD_REQUEST)
    List<String> invalid(MethodArgumentNotValidException e) {
        return e.getFieldErrors().stream().map(f -> f.getField() + ": " + f.getDefaultMessage()).sorted().toList();
    }
}
