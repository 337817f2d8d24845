#include <stdio.h>
#include <stdlib.h>

#include "codes/status.h"

int main(int argc, char **argv) {
    if (argc < 2) {
        printf("%d codes, from data %s\n", STATUS_COUNT, STATUS_FINGERPRINT);
        return 0;
    }
    const char *text = status_text((enum status)atoi(argv[1]));
    puts(text == NULL ? "unknown" : text);
    return text == NULL;
}
