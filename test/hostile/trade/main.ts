/**
 * Runs the hostile model of the trade from the command line.
 * @module
 */
import { runModel } from '../support/runModel.ts'
import { runOnce } from './run.ts'
import { setUp } from './setup.ts'
import { themes } from './world.ts'

await runModel({ themes, setUp, runOnce })
