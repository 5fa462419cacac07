/** A port whose other end is closed: what is moved to it is gone. */
let nowhere: MessagePort | undefined;

function openNowhere(): MessagePort {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  return port1;
}

/**
 * Gives a buffer's memory back now. The garbage collector knows the size of native buffers only roughly and lets a hundred megabytes of
 * them pile up. The buffer and all views on it are empty afterwards.
 */
export function freeBuffer(buffer: ArrayBuffer): void {
  nowhere ??= openNowhere();
  nowhere.postMessage(null, [buffer]);
}
