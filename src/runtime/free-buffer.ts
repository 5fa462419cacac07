/** A port whose other end is closed: what is moved to it is gone. */
let nowhere: MessagePort | undefined;

function openNowhere(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  return port1;
}

/**
 * Gives a buffer's memory back when the event loop next turns; the garbage collector would let a hundred megabytes pile up first. The
 * buffer and all views on it are empty afterwards. Not for loops that never leave the microtasks, such as runs of onnxruntime-web.
 */
export function freeBuffer(buffer: ArrayBuffer): void {
  nowhere ??= openNowhere();
  nowhere.postMessage(null, [buffer]);
}
