package org.example.almanac;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.jmx.export.annotation.ManagedAttribute;
import org.springframework.jmx.export.annotation.ManagedResource;
import org.springframework.stereotype.Component;

@Component
@ManagedResource("org.example:name=edition")
public class Edition {

    @Value("${almanac.edition}")
    private String edition;

    @ManagedAttribute
    public String getEdition() {
        return edition;
    }
}
