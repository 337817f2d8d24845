#include <stdio.h>
#include <string.h>

#include "greet/greet.h"

static int check(const char *name, size_t size, const char *expected) {
    char text[64];
    greet(text, size, name);
    if (strcmp(text, expected) == 0) {
        return 0;
    }
    fprintf(stderr, "greet(\"%s\") gave \"%s\", expected \"%s\"\n", name, text, expected);
    return 1;
}

int main(void) {
    return check("world", 64, "Hello, world!") + check("world", 8, "Hello, ");
}
