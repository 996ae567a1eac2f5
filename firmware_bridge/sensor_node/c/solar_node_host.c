/* Host side of the encoder's test: one reading a line on stdin, its frame in hexadecimal on stdout.
 *
 * A line holds: node sequence uptime status has poa temp_module temp_air supply ghi
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "solar_node.h"

int main(void)
{
    uint16_t node, sequence, status, supply;
    int16_t poa, module, air, ghi;
    uint32_t uptime;
    uint8_t has;
    uint8_t *frame = malloc(SOLAR_NODE_MAX_FRAME); /* on the heap: a byte too many is caught */

    if (frame == NULL || solar_node_encode(NULL, frame, SOLAR_NODE_MAX_FRAME) != 0u) {
        return 2;
    }
    while (scanf("%" SCNu16 " %" SCNu16 " %" SCNu32 " %" SCNu16 " %" SCNu8 " %" SCNd16 " %" SCNd16
                 " %" SCNd16 " %" SCNu16 " %" SCNd16,
                 &node, &sequence, &uptime, &status, &has, &poa, &module, &air, &supply, &ghi)
           == 10) {
        solar_node_reading reading = { 0 };
        size_t size, i;

        reading.node = node;
        reading.sequence = sequence;
        reading.uptime_s = uptime;
        reading.status = status;
        reading.has = has;
        reading.poa_deciwatt = poa;
        reading.temp_module_centi = module;
        reading.temp_air_centi = air;
        reading.supply_millivolt = supply;
        reading.ghi_deciwatt = ghi;
        if (solar_node_encode(&reading, frame, SOLAR_NODE_MAX_FRAME - 1u) != 0u) {
            return 3; /* a buffer that is too small must be refused */
        }
        size = solar_node_encode(&reading, frame, SOLAR_NODE_MAX_FRAME);
        if (size == 0u || size > SOLAR_NODE_MAX_FRAME) {
            return 4;
        }
        for (i = 0u; i < size; i++) {
            printf("%02x", frame[i]);
        }
        printf("\n");
    }
    free(frame);
    return 0;
}
