/**
 * A worker in a process of its own that takes a job and never ends it.
 * @module
 */
import process from 'node:process'
import { openPostgres } from '../sql/openPostgres.ts'
import { createJobs } from './jobs.ts'

const jobs = await createJobs(openPostgres({ url: process.argv[2]! }), {
  lease: Number(process.argv[3]),
  pollInterval: 20,
  handlers: {
    work: () => {
      process.stdout.write('took\n')
      return new Promise(() => {})
    },
  },
})
jobs.start()
