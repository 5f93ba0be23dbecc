#include "channel.h"
#include "park.h"
bool channel_present(void){return false;}
void channel_init(void){}
void channel_wait_hello(struct process_arguments *a){(void)a;}
int channel_print(int level, const char *text, size_t n){(void)level;(void)text;(void)n;return 0;}
void channel_printed(void){}
void channel_log(int level, const char *text, size_t n){(void)level;(void)text;(void)n;}
void channel_panic(const char *text){(void)text;}
void channel_end(int how, uint32_t status, const char *why){(void)how;(void)status;(void)why;}
void channel_poll(void){}
void channel_tick(uint64_t now){(void)now;}
uint64_t channel_deadline(void){return NEVER;}
void channel_idle(void){}
const char *channel_vm_name(void){return "radics";}
bool park_wanted(void){return false;}
void park(void){}
bool park_is_warm(void){return false;}
_Noreturn void park_resume(uint64_t m){panic("%lu",m);}
