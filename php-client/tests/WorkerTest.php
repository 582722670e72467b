<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus\Tests;

use PHPUnit\Framework\TestCase;
use Qbus\AlreadySettled;
use Qbus\Message;
use Qbus\Tests\Support\Peer;
use Qbus\Tests\Support\Proxy;
use Qbus\Tests\Support\WorkerProcess;
use Qbus\Worker;

/** Workers as real processes, ended as real processes are. */
final class WorkerTest extends TestCase
{
    private const ID = Peer::FIRST_ID;

    private ?Proxy $proxy = null;

    protected function tearDown(): void
    {
        $this->proxy?->end();
    }

    public function testEveryHandlersEndIsAVerdictAndADrainEndsTheWorkerInOrder(): void
    {
        $bodies = ['ok', 'throw', 'reject', 'return reject', 'retry', 'ack, then throw', 'ack twice', 'ok'];
        $worker = $this->work(static function (Peer $peer) use ($bodies): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_map(static fn ($body) => Peer::row($body), $bodies)));
            $settled = $peer->settled(\count($bodies));
            $peer->send(70, ['reason' => 'enough']);

            return [$settled, $peer->readAll()];
        });
        [$status, , $errors] = $worker->end();
        [$settled, $bye] = $this->proxy->result();
        self::assertSame([self::ID, self::ID + 5, self::ID + 6, self::ID + 7], $settled['acks']);
        self::assertSame([
            [self::ID + 1, 1, -1, $settled['others'][0][3]],
            [self::ID + 2, 2, -1, 'why'],
            [self::ID + 3, 2, -1, 'why'],
            [self::ID + 4, 1, 5000, null],
        ], $settled['others']);
        self::assertMatchesRegularExpression(
            '~^LogicException at \S+/fixtures/worker\.php:\d+: broken$~',
            $settled['others'][0][3],
        );
        self::assertSame([[4, ['reason' => 'drained']]], $bye);
        self::assertSame(0, $status);
        self::assertSame(2, \substr_count($errors, 'had its verdict before this'), $errors);
    }

    public function testAWorkerWithoutAHandlerSaysSo(): void
    {
        $this->expectExceptionMessage('call on() or onBatch() before run()');
        Worker::connect('/nobody/listens')->run();
    }

    public function testWhatIsKeptHasItsVerdictOnceItsHandlerHasReturned(): void
    {
        $this->proxy = Proxy::play(static function (Peer $peer): array {
            $peer->welcome();
            // Ids between two frames need not be this session's.
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')]));
            $peer->write(Peer::deliver([Peer::row('c')], self::ID + 7));
            $settled = $peer->settled(3);
            $peer->send(70, []);

            return [$settled, $peer->readAll()];
        });
        $kept = [];
        $refused = 0;
        $handler = static function (Message $message) use (&$kept, &$refused): string {
            self::assertFalse($message->isSettled());
            foreach ($kept as $former) {
                self::assertTrue($former->isSettled());
                try {
                    $former->retry();
                } catch (AlreadySettled) {
                    ++$refused;
                }
            }
            $kept[] = $message;

            return 'what is returned means nothing';
        };
        self::assertSame(0, Worker::connect($this->proxy->path)->on('orders', $handler)->run());
        [$settled, $rest] = $this->proxy->result();
        self::assertSame(3, $refused);
        self::assertSame([self::ID, self::ID + 1, self::ID + 7], $settled['acks']);
        self::assertSame([[], [[4, ['reason' => 'drained']]]], [$settled['others'], $rest]);
    }

    public function testAMessageHasThePipelineAndTheAttemptOfItsFrame(): void
    {
        $frames = [[0, 1], [0, 1], [0, 2], [1, 2], [0, 2], [0, 1]];
        $this->proxy = Proxy::play(static function (Peer $peer) use ($frames): void {
            $peer->welcome();
            foreach ($frames as $i => [$pipeline, $attempt]) {
                $peer->write(Peer::frame(66, [$pipeline, self::ID + $i, $attempt, 30000, [Peer::row("{$i}")]]));
            }
            $peer->settled(\count($frames));
            $peer->send(70, []);
            $peer->readAll();
        });
        $seen = [];
        $see = static function (Message $message) use (&$seen): void {
            $seen[] = [$message->pipeline === 'orders' ? 0 : 1, $message->attempt];
        };
        self::assertSame(0, Worker::connect($this->proxy->path)->on('orders', $see)->on('mails', $see)->run());
        $this->proxy->result();
        self::assertSame($frames, $seen);
    }

    public function testAVerdictThatIsSaidDoesNotWaitForTheHandlersEnd(): void
    {
        $this->proxy = Proxy::play(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('a'), Peer::row('b')]));
            $first = $peer->settled(1);
            $peer->send(67, [self::ID, 5000]); // the handler waits for this, so its ack came before its end
            $second = $peer->settled(1);
            $peer->send(70, []);
            $peer->readAll();

            return [$first['acks'], $second['acks']];
        });
        Worker::connect($this->proxy->path)->on('orders', static function (Message $message): void {
            if ($message->body === 'a') {
                $message->ack();
                for ($giveUp = \hrtime(true) + 20e9; !$message->isCancelled() && \hrtime(true) < $giveUp; ) {
                }
            }
        })->run();
        self::assertSame([[self::ID], [self::ID + 1]], $this->proxy->result());
    }

    /** @dataProvider endings */
    public function testASignalLetsTheRunningMessageEndAndHandsTheOthersBack(int $signal, string $transport): void
    {
        $worker = $this->work(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('wait for a line'), Peer::row('ok'), Peer::row('ok')]));

            return [$peer->settled(3), $peer->readAll()];
        }, ['QBUS_TRANSPORT' => $transport]);
        self::assertSame("begun\n", $worker->line());
        $worker->signal($signal);
        $worker->tell('go on');
        [$settled, $bye] = $this->proxy->result();
        self::assertSame([self::ID], $settled['acks']);
        self::assertSame([[self::ID + 1, 3, -1, null], [self::ID + 2, 3, -1, null]], $settled['others']);
        self::assertSame([[4, ['reason' => 'stopped']]], $bye);
        self::assertSame([0, '', ''], $worker->end());
    }

    /** @dataProvider endings */
    public function testASignalEndsAWorkerThatHasNothingToDo(int $signal, string $transport): void
    {
        $worker = $this->work(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('say so')]));
            $peer->settled(1);

            return $peer->readAll();
        }, ['QBUS_TRANSPORT' => $transport]);
        // From here on no signal may be lost, whatever the worker does at that moment.
        self::assertSame("begun\n", $worker->line());
        $worker->signal($signal);
        self::assertSame([0, '', ''], $worker->end());
        self::assertSame([4, ['reason' => 'stopped']], \array_slice($this->proxy->result(), -1)[0]);
    }

    public static function endings(): array
    {
        return [
            'SIGTERM, socket' => [\SIGTERM, 'socket'],
            'SIGTERM, stream' => [\SIGTERM, 'stream'],
            'SIGINT, socket' => [\SIGINT, 'socket'],
        ];
    }

    public function testTheSignalThatTellsOfADeadlineWakesASleeperAndHarmsNothing(): void
    {
        $worker = $this->work(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row('sleep'), Peer::row('ok')]));
            $settled = $peer->settled(2);
            $peer->send(70, []);

            return $settled['acks'];
        });
        self::assertSame("begun\n", $worker->line());
        $begin = \hrtime(true);
        // Again and again: the first may come before the sleep has begun.
        while ($worker->isRunning()) {
            $worker->signal(\SIGUSR1);
        }
        self::assertLessThan(15.0, (\hrtime(true) - $begin) / 1e9);
        self::assertSame([self::ID, self::ID + 1], $this->proxy->result());
    }

    public function testTheEndOfTheProxyEndsTheWorkerWithASentence(): void
    {
        $worker = $this->work(static function (Peer $peer): void {
            $peer->welcome();
            $peer->close();
        });
        [$status, $output, $errors] = $worker->end();
        self::assertSame([1, ''], [$status, $output]);
        self::assertSame("qbus worker: qbus-proxy has closed the connection\n", $errors);
    }

    public function testWithoutAProxyTheWorkerEndsWithASentence(): void
    {
        [$status, , $errors] = (new WorkerProcess('/nonexistent.sock'))->end();
        self::assertSame(1, $status);
        self::assertStringStartsWith('qbus worker: cannot connect to /nonexistent.sock', $errors);
        self::assertSame(1, \substr_count($errors, "\n"));
    }

    public function testItPutsTheFormerSignalHandlersBack(): void
    {
        $this->proxy = Proxy::play(static function (Peer $peer): void {
            $peer->welcome();
            $peer->send(70, []);
        });
        $mine = static fn () => null;
        \pcntl_signal(\SIGTERM, $mine);
        self::assertSame(0, Worker::connect($this->proxy->path)->on('orders', static fn () => null)->run());
        self::assertSame($mine, \pcntl_signal_get_handler(\SIGTERM));
        \pcntl_signal(\SIGTERM, \SIG_DFL);
    }

    public function testItLooksForLeaksWhenTheEnvironmentSaysSoAfterTheVerdictsAreOut(): void
    {
        $worker = $this->work(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver(\array_fill(0, 4, Peer::row('ok'))));
            for ($said = []; \count($leaks = \array_keys(\array_column($said, 0), 9)) < 2; ) {
                $said[] = $peer->read();
            }
            $peer->send(70, []);

            return [$said, $leaks];
        }, ['QBUS_LEAK_CHECK' => '2']);
        [$said, $leaks] = $this->proxy->result();
        self::assertSame([0, '', ''], $worker->end());
        self::assertSame([1, 2], [$said[$leaks[0]][1][0], $said[$leaks[1]][1][0]]);
        foreach ([2, 4] as $i => $n) {
            $before = \array_filter(\array_slice($said, 0, $leaks[$i]), static fn ($frame) => $frame[0] === 2);
            self::assertSame($n, \array_sum(\array_map(static fn ($frame) => $frame[1][0][1], $before)));
        }
    }

    public function testNoFileIsMadeWhateverTheSizeOfTheMessages(): void
    {
        if (!\is_executable('/usr/bin/strace')) {
            self::markTestSkipped('strace is not here');
        }
        $worker = $this->work(static function (Peer $peer): array {
            $peer->welcome();
            $peer->write(Peer::deliver([Peer::row(\str_repeat('x', 30 << 20))]));
            $peer->write(Peer::deliver([Peer::row('throw'), Peer::row('ack, then throw')], self::ID + 1));
            $settled = $peer->settled(3);
            $peer->send(70, []);

            return $settled;
        }, [], ['strace', '-f', '-qq', '-e', 'trace=open,openat,creat,memfd_create,mkdir,mknod,shmget']);
        [$status, , $trace] = $worker->end();
        if (\str_contains($trace, 'Operation not permitted')) {
            self::markTestSkipped('strace is not allowed here');
        }
        self::assertSame(0, $status, $trace);
        self::assertStringContainsString('openat(', $trace);
        $makers = '/O_CREAT|O_TMPFILE|creat\(|memfd_create\(|mkdir\(|mknod\(|shmget\(/';
        self::assertDoesNotMatchRegularExpression($makers, $trace);
        self::assertCount(2, $this->proxy->result()['acks']);
    }

    public function testThirtyMegabytesFitIntoASmallMemoryLimit(): void
    {
        $worker = $this->work(static function (Peer $peer): array {
            $peer->welcome();
            for ($i = 0; $i < 5; ++$i) {
                $peer->write(Peer::deliver([Peer::row(\str_repeat('x', 30 << 20))], self::ID + $i));
            }
            $settled = $peer->settled(5);
            $peer->send(70, []);

            return $settled['acks'];
        }, [], [], ['-d', 'memory_limit=80M']);
        [$status, , $errors] = $worker->end();
        self::assertSame([0, ''], [$status, $errors]);
        self::assertCount(5, $this->proxy->result());
    }

    private function work(
        callable $script,
        array $environment = [],
        array $before = [],
        array $options = [],
    ): WorkerProcess {
        $this->proxy = Proxy::play($script);

        return new WorkerProcess($this->proxy->path, $before, $environment, $options);
    }
}
