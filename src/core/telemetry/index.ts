/**
 * Telemetry: spans and measures by the OpenTelemetry API.
 * @module
 */
export { createTelemetry, type Telemetry } from './telemetry.ts'
