#include <ctype.h>
#include <stdio.h>

int main(void) {
    int c, gap = 0, empty = 1;
    while ((c = getchar()) != EOF) {
        if (c == '\n') {
            putchar('\n');
            gap = 0;
            empty = 1;
        } else if (isalnum(c)) {
            if (gap && !empty) {
                putchar('-');
            }
            putchar(tolower(c));
            gap = 0;
            empty = 0;
        } else {
            gap = 1;
        }
    }
    return ferror(stdin) != 0;
}
