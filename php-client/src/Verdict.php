<?php
// SPDX-License-Identifier: MIT

declare(strict_types=1);

namespace Qbus;

/** What can be said of a delivery; the numbers are those of the protocol, but for Ack, which travels as runs of ids. */
enum Verdict: int
{
    case Ack = 0;
    case Retry = 1;
    case Reject = 2;
    case Release = 3;
}
