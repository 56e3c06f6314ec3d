/**
 * Jobs: work that outlives a process.
 * @module
 */
export {
  createJobs, type DeadJob, type JobHandler, type Jobs, type NewJob } from './jobs.ts'
