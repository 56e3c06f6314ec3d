/** Appointments that a client sends a tower in a second at most. */
export const APPOINTMENTS_PER_SECOND = 20
