<?xml version="1.0"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="html"/>
  <xsl:template match="/log">
    <ul><xsl:for-each select="night"><xsl:sort select="@date" order="descending"/><li><xsl:value-of select="concat(@date, ': ', .)"/></li></xsl:for-each></ul>
  </xsl:template>
</xsl:stylesheet>
