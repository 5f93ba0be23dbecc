/* api.c: placeholder */
#include "syscall.h"
int64_t sys_radics_send(uint64_t a){(void)a;return -ENOTCONN;}
int64_t sys_radics_receive(uint64_t a){(void)a;return -ENOTCONN;}
int64_t sys_radics_subscribe(uint64_t a,size_t n){(void)a;(void)n;return -ENOTCONN;}
int64_t sys_radics_info(int w,uint64_t t,size_t c){(void)w;(void)t;(void)c;return -ENOTCONN;}
int64_t sys_radics_log(int l,uint64_t t,size_t n){(void)l;(void)t;(void)n;return -ENOTCONN;}
