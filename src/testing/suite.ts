/**
 * What the suites share.
 * @module
 */
import { assertArguments, callback, shape, text } from '../core/argument.ts'
import { isSluiceError, type ErrorCode } from '../core/errors.ts'

/** The functions of a test runner that a suite needs: vitest's and Jest's fit. */
export interface TestRunner {
  /** Groups tests. */
  describe(name: string, body: () => void): unknown
  /** Adds a test. */
  it(name: string, body: () => Promise<void>): unknown
  /** Holds a value against what it should be. */
  expect(actual: unknown): {
    /** Fails unless both are deeply equal. */
    toEqual(expected: unknown): void
  }
}

/** How a call ends, as its error's code. */
export async function codeOf(run: () => unknown): Promise<ErrorCode | 'no SluiceError' | 'no error'> {
  try {
    await run()
    return 'no error'
  } catch (error) {
    return isSluiceError(error) ? error.code : 'no SluiceError'
  }
}

const runner = shape('the test runner: { describe, it, expect }', { describe: callback, it: callback, expect: callback })

/** Holds what every suite is given against what it needs. @throws `BAD_ARGUMENT` */
export function assertSuite(name: string, open: unknown, tests: unknown): void {
  assertArguments({ name, open, runner: tests }, { name: text(1), open: callback, runner })
}
