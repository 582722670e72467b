<?php
// SPDX-License-Identifier: MIT
// Holds on to all that a process can: ignores SIGTERM, lets a grandchild go, takes System V memory and semaphores, opens
// a thousand files. Says "holds child=PID shm=ID sem=ID".
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

pcntl_signal(SIGTERM, SIG_IGN);
$files = array_map(static fn () => fopen('/dev/null', 'r'), range(1, 1000));
if (pcntl_fork() === 0) { // a daemon: a session and a parent of its own, deaf to everything
    posix_setsid();
    if (pcntl_fork() !== 0) {
        exit;
    }
    for ($signal = 1; $signal < 31; $signal++) {
        in_array($signal, [SIGKILL, SIGSTOP], true) || pcntl_signal($signal, SIG_IGN);
    }
    fprintf(STDERR, "daemon=%d\n", getmypid());
    while (true) {
        sleep(1000);
    }
}
$memory = shm_attach(random_int(1 << 20, 1 << 30), 1 << 20);
shm_put_var($memory, 1, str_repeat('x', 1 << 19));
$semaphore = sem_get(random_int(1 << 20, 1 << 30));
sem_acquire($semaphore);
fprintf(STDERR, "holds pid=%d files=%d segments=%d\n", getmypid(), count($files),
    count(file('/proc/sysvipc/shm')) - 1);
$client = Qbus\Client::connect('orders');
while (true) {
    sleep(1000); // deaf to DRAIN too
}
