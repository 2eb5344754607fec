"""What other systems lack of the standard library of Linux, by the stubs that mypy 2.4 brings.

Made by comparing the names in typeshed/stdlib/{os,signal,time}.pyi by `sys.platform`.
"""

_DARWIN_OS = """
CLONE_FILES CLONE_FS CLONE_NEWCGROUP CLONE_NEWIPC CLONE_NEWNET CLONE_NEWNS CLONE_NEWPID
CLONE_NEWTIME CLONE_NEWUSER CLONE_NEWUTS CLONE_SIGHAND CLONE_SYSVSEM CLONE_THREAD CLONE_VM
EFD_CLOEXEC EFD_NONBLOCK EFD_SEMAPHORE GRND_NONBLOCK GRND_RANDOM MFD_ALLOW_SEALING MFD_CLOEXEC
MFD_HUGETLB MFD_HUGE_16GB MFD_HUGE_16MB MFD_HUGE_1GB MFD_HUGE_1MB MFD_HUGE_256MB MFD_HUGE_2GB
MFD_HUGE_2MB MFD_HUGE_32MB MFD_HUGE_512KB MFD_HUGE_512MB MFD_HUGE_64KB MFD_HUGE_8MB MFD_HUGE_MASK
MFD_HUGE_SHIFT O_DIRECT O_LARGEFILE O_NOATIME O_PATH O_RSYNC O_TMPFILE PIDFD_NONBLOCK
POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL
POSIX_FADV_WILLNEED POSIX_SPAWN_CLOSEFROM P_PIDFD RTLD_DEEPBIND RWF_APPEND RWF_DSYNC RWF_HIPRI
RWF_NOWAIT RWF_SYNC SCHED_BATCH SCHED_IDLE SCHED_RESET_ON_FORK SPLICE_F_MORE SPLICE_F_MOVE
SPLICE_F_NONBLOCK ST_APPEND ST_MANDLOCK ST_NOATIME ST_NODEV ST_NODIRATIME ST_NOEXEC ST_RELATIME
ST_SYNCHRONOUS ST_WRITE TFD_CLOEXEC TFD_NONBLOCK TFD_TIMER_ABSTIME TFD_TIMER_CANCEL_ON_SET
XATTR_CREATE XATTR_REPLACE XATTR_SIZE_MAX copy_file_range eventfd eventfd_read eventfd_write
fdatasync getrandom getresgid getresuid getxattr listxattr memfd_create pidfd_open pipe2
posix_fadvise posix_fallocate removexattr sched_getaffinity sched_getparam sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler setns setresgid
setresuid setxattr splice timerfd_create timerfd_gettime timerfd_gettime_ns timerfd_settime
timerfd_settime_ns unshare
"""
_DARWIN_SIGNAL = """
SIGCLD SIGPOLL SIGPWR SIGRTMAX SIGRTMIN SIGSTKFLT pidfd_send_signal sigtimedwait sigwaitinfo
struct_siginfo
"""
_DARWIN_TIME = """
CLOCK_BOOTTIME CLOCK_TAI pthread_getcpuclockid
"""
_WIN32_OS = """
CLD_CONTINUED CLD_DUMPED CLD_EXITED CLD_KILLED CLD_STOPPED CLD_TRAPPED CLONE_FILES CLONE_FS
CLONE_NEWCGROUP CLONE_NEWIPC CLONE_NEWNET CLONE_NEWNS CLONE_NEWPID CLONE_NEWTIME CLONE_NEWUSER
CLONE_NEWUTS CLONE_SIGHAND CLONE_SYSVSEM CLONE_THREAD CLONE_VM EFD_CLOEXEC EFD_NONBLOCK
EFD_SEMAPHORE EX_CANTCREAT EX_CONFIG EX_DATAERR EX_IOERR EX_NOHOST EX_NOINPUT EX_NOPERM EX_NOUSER
EX_OSERR EX_OSFILE EX_PROTOCOL EX_SOFTWARE EX_TEMPFAIL EX_UNAVAILABLE EX_USAGE F_LOCK F_TEST
F_TLOCK F_ULOCK GRND_NONBLOCK GRND_RANDOM MFD_ALLOW_SEALING MFD_CLOEXEC MFD_HUGETLB MFD_HUGE_16GB
MFD_HUGE_16MB MFD_HUGE_1GB MFD_HUGE_1MB MFD_HUGE_256MB MFD_HUGE_2GB MFD_HUGE_2MB MFD_HUGE_32MB
MFD_HUGE_512KB MFD_HUGE_512MB MFD_HUGE_64KB MFD_HUGE_8MB MFD_HUGE_MASK MFD_HUGE_SHIFT NGROUPS_MAX
O_ACCMODE O_ASYNC O_CLOEXEC O_DIRECT O_DIRECTORY O_DSYNC O_FSYNC O_LARGEFILE O_NDELAY O_NOATIME
O_NOCTTY O_NOFOLLOW O_NONBLOCK O_PATH O_RSYNC O_SYNC O_TMPFILE PIDFD_NONBLOCK POSIX_FADV_DONTNEED
POSIX_FADV_NOREUSE POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED
POSIX_SPAWN_CLOSE POSIX_SPAWN_CLOSEFROM POSIX_SPAWN_DUP2 POSIX_SPAWN_OPEN PRIO_PGRP PRIO_PROCESS
PRIO_USER P_ALL P_PGID P_PID P_PIDFD RTLD_DEEPBIND RTLD_GLOBAL RTLD_LAZY RTLD_LOCAL RTLD_NODELETE
RTLD_NOLOAD RTLD_NOW RWF_APPEND RWF_DSYNC RWF_HIPRI RWF_NOWAIT RWF_SYNC SCHED_BATCH SCHED_FIFO
SCHED_IDLE SCHED_OTHER SCHED_RESET_ON_FORK SCHED_RR SEEK_DATA SEEK_HOLE SPLICE_F_MORE
SPLICE_F_MOVE SPLICE_F_NONBLOCK ST_APPEND ST_MANDLOCK ST_NOATIME ST_NODEV ST_NODIRATIME ST_NOEXEC
ST_NOSUID ST_RDONLY ST_RELATIME ST_SYNCHRONOUS ST_WRITE TFD_CLOEXEC TFD_NONBLOCK TFD_TIMER_ABSTIME
TFD_TIMER_CANCEL_ON_SET WCONTINUED WCOREDUMP WEXITED WEXITSTATUS WIFCONTINUED WIFEXITED
WIFSIGNALED WIFSTOPPED WNOHANG WNOWAIT WSTOPPED WSTOPSIG WTERMSIG WUNTRACED XATTR_CREATE
XATTR_REPLACE XATTR_SIZE_MAX chown chroot confstr confstr_names copy_file_range ctermid environb
eventfd eventfd_read eventfd_write fchdir fchown fdatasync fork forkpty fpathconf fstatvfs fwalk
getegid getenvb geteuid getgid getgrouplist getgroups getloadavg getpgid getpgrp getpriority
getrandom getresgid getresuid getsid getuid getxattr grantpt initgroups killpg lchown listxattr
lockf login_tty major makedev memfd_create minor mkfifo mknod nice openpty pathconf pathconf_names
pidfd_open pipe2 posix_fadvise posix_fallocate posix_openpt posix_spawn posix_spawnp pread preadv
ptsname pwrite pwritev readv register_at_fork removexattr sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler sched_param
sched_rr_get_interval sched_setaffinity sched_setparam sched_setscheduler sched_yield sendfile
setegid seteuid setgid setgroups setns setpgid setpgrp setpriority setregid setresgid setresuid
setreuid setsid setuid setxattr spawnlp spawnlpe spawnvp spawnvpe splice statvfs struct_rusage
sync sysconf sysconf_names tcgetpgrp tcsetpgrp timerfd_create timerfd_gettime timerfd_gettime_ns
timerfd_settime timerfd_settime_ns ttyname uname unlockpt unshare wait wait3 wait4 waitid
waitid_result writev
"""
_WIN32_SIGNAL = """
ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL ItimerError SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGHUP
SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF SIGPWR SIGQUIT SIGRTMAX SIGRTMIN SIGSTKFLT SIGSTOP
SIGSYS SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIGXCPU SIGXFSZ
SIG_BLOCK SIG_SETMASK SIG_UNBLOCK Sigmasks alarm getitimer pause pidfd_send_signal pthread_kill
pthread_sigmask setitimer siginterrupt sigpending sigtimedwait sigwait sigwaitinfo struct_siginfo
"""
_WIN32_TIME = """
CLOCK_BOOTTIME CLOCK_MONOTONIC CLOCK_MONOTONIC_RAW CLOCK_PROCESS_CPUTIME_ID CLOCK_REALTIME
CLOCK_TAI CLOCK_THREAD_CPUTIME_ID clock_getres clock_gettime clock_gettime_ns clock_settime
clock_settime_ns pthread_getcpuclockid tzset
"""

LACKING: dict[str, dict[str, frozenset[str]]] = {
    "darwin": {
        "os": frozenset(_DARWIN_OS.split()),
        "signal": frozenset(_DARWIN_SIGNAL.split()),
        "time": frozenset(_DARWIN_TIME.split()),
    },
    "win32": {
        "os": frozenset(_WIN32_OS.split()),
        "signal": frozenset(_WIN32_SIGNAL.split()),
        "time": frozenset(_WIN32_TIME.split()),
    },
}

MODULES: dict[str, frozenset[str]] = {
    "darwin": frozenset(),
    "win32": frozenset(
        {"fcntl", "resource", "termios", "pwd", "grp", "posix", "pty", "tty", "syslog"}
    ),
}
