#include <stdio.h>

#include "greet/greet.h"

int main(int argc, char **argv) {
    char text[256];
    greet(text, sizeof text, argc > 1 ? argv[1] : "world");
    puts(text);
    return 0;
}
