/*
 * syscall.h: the program's way in.
 *
 * To add a system call: write `int64_t sys_name(...)` in the file of its concept, taking program
 * addresses as uint64_t and reading them with user.h; declare it here; add one line to the table in
 * syscall.c; add a tiny guest to tests/guest/programs. Results are Linux's.
 */
#ifndef SYSCALL_H
#define SYSCALL_H

#include "kernel.h"

/* process.c, sysinfo.c */
int64_t sys_brk(uint64_t to);
int64_t sys_exit(int status);
int64_t sys_exit_group(int status);
int64_t sys_uname(uint64_t to);
int64_t sys_sysinfo(uint64_t to);
int64_t sys_getpid(void);
int64_t sys_getppid(void);
int64_t sys_zero(void);
int64_t sys_getrandom(uint64_t to, size_t n, unsigned flags);
int64_t sys_prlimit64(int pid, unsigned what, uint64_t fresh, uint64_t old);
int64_t sys_getrlimit(unsigned what, uint64_t to);
int64_t sys_getrusage(int who, uint64_t to);
int64_t sys_times(uint64_t to);
int64_t sys_prctl(int what, uint64_t a);
int64_t sys_umask(unsigned mask);
int64_t sys_setrlimit(unsigned what, uint64_t from);
int64_t sys_getresuid(uint64_t a, uint64_t b, uint64_t c);
int64_t sys_getpgid(int pid);
int64_t sys_getcpu(uint64_t cpu, uint64_t node);
int64_t sys_membarrier(int command);
/* clone.c */
int64_t sys_clone(uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t child_tid,
                  uint64_t tls);
/* For architectures that swap the last two. */
int64_t sys_clone_backwards(uint64_t flags, uint64_t stack, uint64_t parent_tid, uint64_t tls,
                            uint64_t child_tid);
int64_t sys_clone3(uint64_t args, size_t size);
int64_t sys_arch_prctl(int what, uint64_t address);
int64_t sys_set_tid_address(uint64_t address);
int64_t sys_set_robust_list(uint64_t list, size_t size);
int64_t sys_get_robust_list(int tid, uint64_t list_to, uint64_t size_to);
int64_t sys_gettid(void);
int64_t sys_sched_getscheduler(int pid);
int64_t sys_sched_getparam(int pid, uint64_t to);
int64_t sys_sched_setscheduler(int pid, int policy, uint64_t from);
int64_t sys_sched_setparam(int pid, uint64_t from);
int64_t sys_sched_get_priority_max(int policy);
int64_t sys_sched_get_priority_min(int policy);
int64_t sys_sched_rr_get_interval(int pid, uint64_t to);
int64_t sys_getpriority(int which, int who);
int64_t sys_sched_yield(void);
int64_t sys_sched_getaffinity(int pid, size_t n, uint64_t to);
/* absent.c */
int64_t sys_fork(void);
int64_t sys_execve(void);
int64_t sys_socket(void);
/* memory.c */
int64_t sys_mmap(uint64_t at, uint64_t length, int prot, int flags, int fd, uint64_t offset);
int64_t sys_munmap(uint64_t at, uint64_t length);
int64_t sys_mprotect(uint64_t at, uint64_t length, int prot);
int64_t sys_mremap(uint64_t at, uint64_t old, uint64_t fresh, int flags, uint64_t to);
int64_t sys_madvise(uint64_t at, uint64_t length, int advice);
int64_t sys_mincore(uint64_t at, uint64_t length, uint64_t to);
/* signal.c */
int64_t sys_rt_sigaction(int number, uint64_t action, uint64_t old, size_t set_bytes);
int64_t sys_rt_sigprocmask(int how, uint64_t set, uint64_t old, size_t set_bytes);
int64_t sys_rt_sigpending(uint64_t set, size_t set_bytes);
int64_t sys_rt_sigsuspend(uint64_t set, size_t set_bytes);
int64_t sys_rt_sigtimedwait(uint64_t set, uint64_t info, uint64_t timeout, size_t set_bytes);
int64_t sys_rt_sigreturn(void);
int64_t sys_sigaltstack(uint64_t stack, uint64_t old);
int64_t sys_tgkill(int pid, int tid, int number);
int64_t sys_tkill(int tid, int number);
int64_t sys_kill(int pid, int number);
int64_t sys_rt_sigqueueinfo(int pid, int number, uint64_t info);
int64_t sys_rt_tgsigqueueinfo(int pid, int tid, int number, uint64_t info);
/* futex.c */
int64_t sys_futex(uint64_t address, int op, uint32_t value, uint64_t timeout, uint64_t address2,
                  uint32_t value3);
/* time.c */
int64_t sys_clock_gettime(int clock, uint64_t to);
int64_t sys_clock_getres(int clock, uint64_t to);
int64_t sys_clock_nanosleep(int clock, int flags, uint64_t request, uint64_t rest);
int64_t sys_nanosleep(uint64_t request, uint64_t rest);
int64_t sys_gettimeofday(uint64_t to);
int64_t sys_time(uint64_t to);
int64_t sys_pause(void);
/* timer.c */
int64_t sys_alarm(unsigned seconds);
int64_t sys_setitimer(unsigned which, uint64_t fresh, uint64_t old);
int64_t sys_getitimer(unsigned which, uint64_t to);
int64_t sys_timer_create(int clock, uint64_t event, uint64_t id);
int64_t sys_timer_settime(int id, int flags, uint64_t fresh, uint64_t old);
int64_t sys_timer_gettime(int id, uint64_t to);
int64_t sys_timer_getoverrun(int id);
int64_t sys_timer_delete(int id);
/* eventfd.c */
int64_t sys_eventfd(unsigned count);
int64_t sys_eventfd2(unsigned count, int flags);
/* epoll.c */
int64_t sys_epoll_create(int size);
int64_t sys_epoll_create1(int flags);
int64_t sys_epoll_ctl(int epoll_fd, int what, int fd, uint64_t event);
int64_t sys_epoll_wait(int fd, uint64_t to, int room, int timeout_ms);
int64_t sys_epoll_pwait(int fd, uint64_t to, int room, int timeout_ms, uint64_t mask,
                        size_t mask_bytes);
int64_t sys_epoll_pwait2(int fd, uint64_t to, int room, uint64_t timeout, uint64_t mask,
                         size_t mask_bytes);
/* timerfd.c */
int64_t sys_timerfd_create(int clock, int flags);
int64_t sys_timerfd_gettime(int fd, uint64_t to);
int64_t sys_timerfd_settime(int fd, int flags, uint64_t fresh, uint64_t old);
/* transfer.c */
int64_t sys_read(int fd, uint64_t to, size_t n);
int64_t sys_write(int fd, uint64_t from, size_t n);
int64_t sys_pread64(int fd, uint64_t to, size_t n, uint64_t at);
int64_t sys_pwrite64(int fd, uint64_t from, size_t n, uint64_t at);
int64_t sys_readv(int fd, uint64_t vectors, int count);
int64_t sys_writev(int fd, uint64_t vectors, int count);
int64_t sys_preadv(int fd, uint64_t vectors, int count, uint64_t at);
int64_t sys_pwritev(int fd, uint64_t vectors, int count, uint64_t at);
int64_t sys_preadv2(int fd, uint64_t vectors, int count, uint64_t at, uint64_t high, int flags);
int64_t sys_pwritev2(int fd, uint64_t vectors, int count, uint64_t at, uint64_t high, int flags);
int64_t sys_sendfile(int to, int from, uint64_t offset, size_t n);
int64_t sys_copy_file_range(int from, uint64_t from_offset, int to, uint64_t to_offset, size_t n,
                            unsigned flags);
/* file.c, lock.c */
int64_t sys_close(int fd);
int64_t sys_flock(int fd, int operation);
int64_t sys_lseek(int fd, int64_t offset, int whence);
int64_t sys_fcntl(int fd, int command, uint64_t argument);
int64_t sys_ioctl(int fd, unsigned request);
int64_t sys_dup(int fd);
int64_t sys_dup2(int fd, int to);
int64_t sys_dup3(int fd, int to, int flags);
int64_t sys_fsync(int fd);
/* poll.c */
int64_t sys_poll(uint64_t fds, unsigned count, int timeout_ms);
int64_t sys_ppoll(uint64_t fds, unsigned count, uint64_t timeout, uint64_t mask, size_t mask_bytes);
int64_t sys_select(int count, uint64_t reads, uint64_t writes, uint64_t others, uint64_t timeout);
int64_t sys_pselect6(int count, uint64_t reads, uint64_t writes, uint64_t others, uint64_t timeout,
                     uint64_t mask_and_size);
/* pipe.c */
int64_t sys_pipe(uint64_t fds);
int64_t sys_pipe2(uint64_t fds, int flags);
/* path.c, open.c, tree.c, status.c */
int64_t sys_open(uint64_t path, int flags, unsigned mode);
int64_t sys_openat(int at, uint64_t path, int flags, unsigned mode);
int64_t sys_openat2(int at, uint64_t path, uint64_t how, size_t size);
int64_t sys_memfd_create(uint64_t name, unsigned flags);
int64_t sys_statx(int at, uint64_t path, int flags, unsigned mask, uint64_t to);
int64_t sys_faccessat2(int at, uint64_t path, int mode, int flags);
int64_t sys_fallocate(int fd, int mode, int64_t offset, int64_t length);
int64_t sys_chown(uint64_t path, uint32_t user, uint32_t group);
int64_t sys_lchown(uint64_t path, uint32_t user, uint32_t group);
int64_t sys_fchown(int fd, uint32_t user, uint32_t group);
int64_t sys_fchownat(int at, uint64_t path, uint32_t user, uint32_t group, int flags);
int64_t sys_creat(uint64_t path, unsigned mode);
int64_t sys_stat(uint64_t path, uint64_t to);
int64_t sys_lstat(uint64_t path, uint64_t to);
int64_t sys_fstat(int fd, uint64_t to);
int64_t sys_newfstatat(int at, uint64_t path, uint64_t to, int flags);
int64_t sys_statfs(uint64_t path, uint64_t to);
int64_t sys_fstatfs(int fd, uint64_t to);
int64_t sys_access(uint64_t path, int mode);
int64_t sys_faccessat(int at, uint64_t path, int mode);
int64_t sys_getdents64(int fd, uint64_t to, size_t n);
int64_t sys_getcwd(uint64_t to, size_t n);
int64_t sys_chdir(uint64_t path);
int64_t sys_fchdir(int fd);
int64_t sys_mkdir(uint64_t path, unsigned mode);
int64_t sys_mkdirat(int at, uint64_t path, unsigned mode);
int64_t sys_rmdir(uint64_t path);
int64_t sys_unlink(uint64_t path);
int64_t sys_unlinkat(int at, uint64_t path, int flags);
int64_t sys_rename(uint64_t from, uint64_t to);
int64_t sys_renameat(int from_at, uint64_t from, int to_at, uint64_t to);
int64_t sys_renameat2(int from_at, uint64_t from, int to_at, uint64_t to, unsigned flags);
int64_t sys_link(uint64_t from, uint64_t to);
int64_t sys_linkat(int from_at, uint64_t from, int to_at, uint64_t to, int flags);
int64_t sys_symlink(uint64_t target, uint64_t path);
int64_t sys_symlinkat(uint64_t target, int at, uint64_t path);
int64_t sys_readlink(uint64_t path, uint64_t to, size_t n);
int64_t sys_readlinkat(int at, uint64_t path, uint64_t to, size_t n);
int64_t sys_chmod(uint64_t path, unsigned mode);
int64_t sys_fchmod(int fd, unsigned mode);
int64_t sys_fchmodat(int at, uint64_t path, unsigned mode);
int64_t sys_truncate(uint64_t path, int64_t size);
int64_t sys_ftruncate(int fd, int64_t size);
int64_t sys_utimensat(int at, uint64_t path, uint64_t times, int flags);
/* api.c and what it names: RADICS_SYS_* */
int64_t sys_radics_send(uint64_t args);
int64_t sys_radics_receive(uint64_t args);
int64_t sys_radics_subscribe(uint64_t name, size_t n);
int64_t sys_radics_info(int what, uint64_t to, size_t cap);
int64_t sys_radics_log(int level, uint64_t text, size_t n);
int64_t sys_radics_hint(int what, uint64_t name, size_t n);
/* naming.c, request.c, alarm.c, checkpoint.c, kv.c */
int64_t sys_radics_serve(uint64_t name, size_t n);
int64_t sys_radics_close(int stream);
int64_t sys_radics_subscribe_after(uint64_t name, size_t n, uint64_t after);
int64_t sys_radics_request(uint64_t args);
int64_t sys_radics_request_cancel(uint64_t number);
int64_t sys_radics_timer(uint64_t delay, uint64_t period);
int64_t sys_radics_timer_cancel(uint64_t number);
int64_t sys_radics_checkpoint(void);
int64_t sys_radics_kv(uint64_t args);

#endif
