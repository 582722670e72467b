<?php
// SPDX-License-Identifier: MIT
// Each pipeline is a call that hangs; the ledger tells when it ended and what the handler saw of it, one line of JSON
// a step: B begins, E is about to return or to throw, A is another attempt,
// or a message of a pipeline that is no call.
//
//   php handler.php LEDGER PEERS CALL...
//
// PEERS: JSON of {"mysql": {"port": 1, "pid": 2}, "silent": {"port": 3}, ...}
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

$ledger = fopen($argv[1], 'a');
$peers = json_decode($argv[2], false, 8, JSON_THROW_ON_ERROR);

/** All processes of a server. */
$processes = static function (string $peer) use ($peers): array {
    $pid = $peers->$peer->pid ?? 0;
    $children = $pid ? (string) @file_get_contents("/proc/{$pid}/task/{$pid}/children") : '';

    return array_map(intval(...), array_filter([$pid, ...explode(' ', $children)]));
};
/** Or gone: a server's child may end before the signal reaches it. */
$isStopped = static fn (int $pid): bool
    => preg_match('/^State:\s+[^TZ]/m', (string) @file_get_contents("/proc/{$pid}/status")) === 0;
$freeze = static function (string $peer) use ($processes, $isStopped): void {
    foreach ($processes($peer) as $pid) {
        posix_kill($pid, SIGSTOP);
        while (!$isStopped($pid)) {
            usleep(100);
        }
    }
};
$thaw = static function () use ($peers, $processes): void {
    foreach (array_keys((array) $peers) as $peer) {
        foreach ($processes($peer) as $pid) {
            posix_kill($pid, SIGCONT);
        }
    }
};
$address = static fn (string $peer): string => "127.0.0.1:{$peers->$peer->port}";
$url = static fn (string $path): string => "http://{$address('silent')}{$path}";
$mysql = static fn (): PDO => new PDO("mysql:host=127.0.0.1;port={$peers->mysql->port}", 'root', '');
$pgsql = static fn (): PDO => new PDO("pgsql:host=127.0.0.1;port={$peers->pgsql->port};dbname=postgres;user=qbus");
$redis = static function () use ($peers): Redis {
    $redis = new Redis();
    $redis->connect('127.0.0.1', $peers->redis->port);

    return $redis;
};
$stream = static fn () => stream_socket_client("tcp://{$address('silent')}");
$curl = static function (string $url): CurlHandle {
    $curl = curl_init($url);
    curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);

    return $curl;
};
$tell = static fn (CurlHandle $curl, mixed $body): string => sprintf(
    'curl error %d: %s',
    curl_errno($curl),
    $body === false ? curl_error($curl) : var_export($body, true),
);

$calls = [
    // nothing to be broken: told, or ended
    'loop' => static function (): void {
        for ($i = 0; ; ++$i) {
        }
    },
    'usleep-loop' => static function (): void {
        for (;;) {
            usleep(20_000);
        }
    },
    'preg_match' => static function (): int|false {
        ini_set('pcre.backtrack_limit', (string) PHP_INT_MAX);
        ini_set('pcre.jit', '0');

        return preg_match('/^(a+)+$/', str_repeat('a', 60) . 'b');
    },
    'sem_acquire' => static function () use ($peers): bool {
        $semaphore = sem_get($peers->semaphore->key);

        return sem_acquire($semaphore) && sem_acquire($semaphore);
    },
    'checkpoint-loop' => static function (Qbus\Message $message): void {
        for (;;) {
            usleep(20_000);
            $message->checkpoint();
        }
    },
    'sleep' => static fn (): int => sleep(60),
    'stream_select' => static function () use ($stream): int|false {
        $read = [$stream()];

        return stream_select($read, $write, $except, null);
    },
    'flock' => static fn (): bool => flock(fopen($peers->lock->file, 'r'), LOCK_EX),

    // sockets
    'stream_select-loop' => static function () use ($stream): string {
        $socket = $stream();
        do {
            $read = [$socket];
        } while (@stream_select($read, $write, $except, null) === false);

        return var_export(fread($socket, 100), true) . (feof($socket) ? ' at the end' : '');
    },
    'fread' => static fn (): string|false => fread($stream(), 100),
    'http' => static fn (): string|false => file_get_contents($url('/silent')),
    'http-half' => static fn (): string|false => file_get_contents($url('/half')),
    'curl' => static fn (): string => $tell($handle = $curl($url('/silent')), curl_exec($handle)),
    'curl-kept-alive' => static function () use ($curl, $url, $tell): string {
        $handle = $curl($url('/hello'));
        curl_setopt($handle, CURLOPT_POSTFIELDS, 'x=1');
        curl_exec($handle);
        curl_setopt($handle, CURLOPT_URL, $url('/kept-alive'));

        return $tell($handle, curl_exec($handle));
    },
    'curl_multi' => static function () use ($curl, $url): string {
        $multi = curl_multi_init();
        $handles = array_map(static fn (int $i) => $curl($url("/multi/{$i}")), [1, 2, 3]);
        foreach ($handles as $handle) {
            curl_multi_add_handle($multi, $handle);
        }
        do {
            curl_multi_exec($multi, $running);
            curl_multi_select($multi);
        } while ($running > 0);
        for ($errors = []; $done = curl_multi_info_read($multi);) {
            $errors[] = $done['result'];
        }

        return 'curl errors ' . implode(' ', $errors);
    },
    'mysql-connect' => static function () use ($mysql, $freeze): PDO {
        $freeze('mysql');

        return $mysql();
    },
    'mysql-query' => static function () use ($mysql, $freeze): mixed {
        $pdo = $mysql();
        $freeze('mysql');

        return $pdo->query('SELECT 1')->fetchColumn();
    },
    'pgsql-connect' => static function () use ($pgsql, $freeze): PDO {
        $freeze('pgsql');

        return $pgsql();
    },
    'pgsql-query' => static function () use ($pgsql, $freeze): mixed {
        $pdo = $pgsql();
        $freeze('pgsql');

        return $pdo->query('SELECT 1')->fetchColumn();
    },
    'redis-blpop' => static function () use ($redis, $freeze): mixed {
        $client = $redis();
        $freeze('redis');

        return $client->blPop(['none'], 0);
    },
    'redis-get' => static function () use ($redis, $freeze): mixed {
        $client = $redis();
        $freeze('redis');

        return $client->get('none');
    },
    'memcached' => static function () use ($peers, $freeze): string {
        $client = new Memcached();
        $client->addServer('127.0.0.1', $peers->memcached->port);
        $client->set('one', 1);
        $freeze('memcached');

        return var_export($client->get('one'), true) . ': ' . $client->getResultMessage();
    },
    'amqp-consume' => static function () use ($peers, $freeze): void {
        $connection = new AMQPConnection(['host' => '127.0.0.1', 'port' => $peers->amqp->port]);
        $connection->connect();
        $queue = new AMQPQueue(new AMQPChannel($connection));
        $queue->setFlags(AMQP_EXCLUSIVE);
        $queue->declareQueue();
        $freeze('amqp');
        $queue->consume(static fn (): bool => false);
    },

    // others that are broken
    'exec' => static fn (): string|false => exec('sleep 60'),
    'exec-unbroken' => static fn (): string|false => exec('sleep 60'),
    'dns' => static fn (): string => gethostbyname('example.org'),
    'curl-dns' => static fn (): string => $tell($handle = $curl('http://example.com/'), curl_exec($handle)),
];

/** A part of the handler with half a second, inside one with two. $prepare returns the call that hangs. */
$part = static fn (Closure $prepare): Closure => static function (Qbus\Message $message) use ($prepare): array {
    $call = $prepare();

    return $message->within(2.0, static function () use ($message, $call): array {
        $begin = hrtime(true);
        try {
            $message->within(0.5, $call);
            $told = null;
        } catch (Qbus\DeadlineExceeded $told) {
        }

        return ['ms' => (hrtime(true) - $begin) / 1e6 - 500, 'threw' => $told === null ? null : $told::class,
            'cause' => $told?->getPrevious() === null ? null : $told->getPrevious()::class];
    });
};
$calls += [
    'within-mysql' => $part(static function () use ($mysql, $freeze): Closure {
        $pdo = $mysql();
        $freeze('mysql');

        return static fn () => $pdo->query('SELECT 1');
    }),
    'within-pgsql' => $part(static function () use ($pgsql, $freeze): Closure {
        $pdo = $pgsql();
        $freeze('pgsql');

        return static fn () => $pdo->query('SELECT 1');
    }),
    'within-redis' => $part(static function () use ($redis, $freeze): Closure {
        $client = $redis();
        $freeze('redis');

        return static fn () => $client->get('none');
    }),
    'within-curl' => $part(static fn (): Closure => static fn () => curl_exec($curl($url('/silent')))),
    'within-empty' => static function (Qbus\Message $message): array {
        $nothing = static fn (): null => null;
        $begin = hrtime(true);
        for ($i = 0; $i < 100_000; ++$i) {
            $message->within(1.0, $nothing);
        }

        return ['us' => (hrtime(true) - $begin) / 1e8];
    },
];

$write = static function (string $kind, Qbus\Message $message, array $more = []) use ($ledger): void {
    $deadline = hrtime(true) + (int) ($message->remaining() * 1e9);
    fwrite($ledger, json_encode(['kind' => $kind, 'call' => $message->pipeline, 'pid' => getmypid(),
        'us' => intdiv(hrtime(true), 1000), 'deadline_us' => intdiv($deadline, 1000), ...$more], JSON_THROW_ON_ERROR
        | JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
};

$handle = static function (Qbus\Message $message) use ($calls, $thaw, $write): void {
    $thaw();
    if ($message->attempt > 1 || !isset($calls[$message->pipeline])) {
        $write('A', $message);

        return;
    }
    $write('B', $message);
    error_clear_last();
    try {
        $result = @$calls[$message->pipeline]($message);
        $warning = error_get_last()['message'] ?? '';
        $saw = is_string($result) ? $result : get_debug_type($result) . ' ' . json_encode($result);
        $write('E', $message, ['threw' => null, 'saw' => $warning === '' ? $saw : "{$saw} ({$warning})",
            'result' => is_array($result) ? $result : null]);
    } catch (Throwable $thrown) {
        $write('E', $message, ['threw' => $thrown::class, 'saw' => $thrown->getMessage()]);
        throw $thrown;
    }
};

$worker = Qbus\Worker::connect(credit: 1);
foreach (array_slice($argv, 3) as $call) {
    $worker->on($call, $handle);
}
exit($worker->run());
