/* Two stacks that take turns. */
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

static ucontext_t home, ping, pong;
static int turns;

static void play(int first)
{
    while (turns < 8) {
        printf("%s %d\n", first ? "ping" : "pong", turns++);
        swapcontext(first ? &ping : &pong, first ? &pong : &ping);
    }
}

int main(void)
{
    getcontext(&ping);
    ping.uc_stack.ss_sp = malloc(65536);
    ping.uc_stack.ss_size = 65536;
    ping.uc_link = &home;
    makecontext(&ping, (void (*)(void))play, 1, 1);
    getcontext(&pong);
    pong.uc_stack.ss_sp = malloc(65536);
    pong.uc_stack.ss_size = 65536;
    pong.uc_link = &home;
    makecontext(&pong, (void (*)(void))play, 1, 0);
    swapcontext(&home, &ping);
    printf("home %d\n", turns);
    return 0;
}
