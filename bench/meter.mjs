// What a process and its JavaScript thread have used so far.
import { readFileSync } from 'node:fs'
import process from 'node:process'

/** Microseconds of CPU, of this thread (NaN where that cannot be told) and of the process. */
export function cpu() {
  const { user, system } = process.cpuUsage()
  return { process: user + system, main: mainThread() }
}

function mainThread() {
  if (process.threadCpuUsage !== undefined) {
    const { user, system } = process.threadCpuUsage()
    return user + system
  }
  // Up to date, because reading the whole process's time has just brought it there.
  if (process.platform === 'linux') {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1_000
  }
  return NaN
}

/** The most memory this process ever had. */
export function peakBytes() {
  // What the system says to the process itself includes what its parent had when it started it.
  if (process.platform === 'linux') return kilobytes('VmHWM') * 1_024
  return process.resourceUsage().maxRSS * 1_024
}

function kilobytes(name) {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1])
}
