/**
 * Notices: what merchants should know of, in the notification centre and by e-mail.
 * @module
 */
export type { MailOptions } from './mailer.ts'
export { createNotifier } from './notifier.ts'
export { noticeRoutes } from './routes.ts'
