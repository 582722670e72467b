<?php
// SPDX-License-Identifier: MIT
// Workers of the tries. `try` waits on a connection that it keeps for an answer that comes about when it is broken;
// before that it looks whether a call after a break, and what the last try left, are whole. `calm` talks to the same
// peer all the time and is never late. One line of JSON each message.
//
//   php tries.php LEDGER PORT
declare(strict_types=1);

require dirname(__DIR__, 2) . '/php-client/autoload.php';

/** A connection that lives on between messages. */
final class Kept
{
    /** @var resource|null */
    private $stream = null;

    public function __construct(private readonly string $port)
    {
    }

    /** One line and the byte that answers it; '' at the end of the stream. */
    public function ask(string $line): string
    {
        $this->stream ??= stream_socket_client("tcp://127.0.0.1:{$this->port}");

        return @fwrite($this->stream, "{$line}\n") === false ? '' : (string) @fread($this->stream, 1);
    }

    public function close(): void
    {
        $this->stream = null;
    }
}

[, $file, $port] = $argv;
$ledger = fopen($file, 'a');
$after = new Kept($port);
$kept = new Kept($port);
$curl = curl_init();
curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTP09_ALLOWED => false]);
$get = static function (string $path) use ($curl, $port): string {
    curl_setopt($curl, CURLOPT_URL, "http://127.0.0.1:{$port}/{$path}");

    return (string) curl_exec($curl);
};
$cpu = static function (): float {
    $used = getrusage();

    return $used['ru_utime.tv_sec'] + $used['ru_stime.tv_sec']
        + ($used['ru_utime.tv_usec'] + $used['ru_stime.tv_usec']) / 1e6;
};

$try = static function (Qbus\Message $message) use ($ledger, $after, $kept, $get, $cpu): void {
    $receipt = $message->offset;
    $deadlineUs = intdiv(hrtime(true), 1000) + (int) ($message->remaining() * 1e6);
    $seen = ['pid' => getmypid(), 'receipt' => $receipt, 'attempt' => $message->attempt];
    $left = static fn (): int => $deadlineUs - intdiv(hrtime(true), 1000);
    $seen['after'] = $after->ask('later'); // blocks for a while: a break that comes late would hit it
    $seen['after_us'] = $left();
    if ($seen['after'] === '') {
        $after->close();
    }
    $seen['whole'] = $kept->ask('ping');   // what the last try left of the connection
    $seen['whole_us'] = $left();
    if ($seen['whole'] === '') {
        $kept->close();
    }
    if ($message->attempt === 1) {
        [$cpuBegin, $begin] = [$cpu(), hrtime(true)];
        $seen['by'] = $receipt % 4 === 3 ? 'curl' : 'stream';
        $seen['got'] = $seen['by'] === 'curl' ? $get("try/{$receipt}/{$deadlineUs}")
            : $kept->ask("try {$receipt} {$deadlineUs}");
        $seen['took'] = (hrtime(true) - $begin) / 1e9;
        $seen['cpu'] = ($cpu() - $cpuBegin) / $seen['took'];
    }
    fwrite($ledger, json_encode($seen, JSON_THROW_ON_ERROR) . "\n");
};

exit(Qbus\Worker::connect(credit: 1)
    ->on($argv[3], $argv[3] === 'try' ? $try : static function () use ($ledger, $after): void {
        if ($after->ask('later') === '') {
            fwrite($ledger, '{"calm":"broken"}' . "\n");
            $after->close();
        }
    })
    ->run());
