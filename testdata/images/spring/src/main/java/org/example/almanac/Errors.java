package org.example.almanac;

import jakarta.servlet.RequestDispatcher;
import jakarta.servlet.http.HttpServletRequest;
import org.springframework.boot.web.servlet.error.ErrorController;
import org.springframework.http.HttpStatus;
import org.springframework.stereotype.Controller;
import org.springframework.ui.Model;
import org.springframework.web.bind.annotation.RequestMapping;

/** Whatever went wrong is said in a page, to programs too. */
@Controller
class Errors implements ErrorController {

    @RequestMapping("/error")
    String page(HttpServletRequest request, Model model) {
        int status = (Integer) request.getAttribute(RequestDispatcher.ERROR_STATUS_CODE);
        model.addAttribute("path", request.getAttribute(RequestDispatcher.ERROR_REQUEST_URI));
        model.addAttribute("error", HttpStatus.valueOf(status).getReasonPhrase());
        return status == 404 ? "error/404" : status < 500 ? "error/4xx" : "error/5xx";
    }
}
