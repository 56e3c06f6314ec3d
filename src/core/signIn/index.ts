/**
 * Sign-in by a signed challenge.
 * @module
 */
export { createSignIn, type SignIn } from './signIn.ts'
