import { describe, expect, it } from "vitest";
import { deviceSchema, instructionSetsOfCpuinfo, instructionSetsOfSysctl, thisDevice } from "./device.ts";

describe("device", () => {
  it("reads x86 flags and ARM features of Linux", () => {
    const x86 = "processor\t: 0\nflags\t\t: fpu avx f16c avx2 avx512f avx_vnni avx512_vnni\n\nprocessor\t: 1\nflags\t\t: fpu\n";
    expect(instructionSetsOfCpuinfo(x86)).toEqual(["avx2", "f16c", "avx_vnni", "avx512f", "avx512_vnni"]);
    const arm = "processor\t: 0\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd fphp asimdhp asimddp\n";
    expect(instructionSetsOfCpuinfo(arm)).toEqual(["asimd", "asimdhp", "asimddp"]);
    expect(instructionSetsOfCpuinfo("nothing here")).toBeUndefined();
  });

  it("reads what macOS says about Apple silicon and Intel", () => {
    const apple =
      "hw.optional.neon: 1\nhw.optional.AdvSIMD: 1\nhw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_I8MM: 0\nhw.optional.arm.FEAT_FP16: 1\n";
    expect(instructionSetsOfSysctl(apple)).toEqual(["asimd", "asimdhp", "asimddp"]);
    const intel = "hw.optional.avx2_0: 1\nhw.optional.avx512f: 0\nmachdep.cpu.features: FPU SSE4.2 AVX1.0 F16C RDRAND\n";
    expect(instructionSetsOfSysctl(intel)).toEqual(["avx2", "f16c"]);
  });

  it("describes this machine in one line", () => {
    const device = thisDevice();
    expect(deviceSchema.parse(device)).toEqual(device);
    expect(device.summary).toContain(device.cpu);
    expect(device.summary).toContain(`${device.cores} cores`);
    expect(device.summary).not.toContain("\n");
  });
});
